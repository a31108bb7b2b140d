"""What `dragoman connect` prints, read by the real clients that are installed here: part of `make clients`."""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

QUESTION = "Reply with exactly: PONG"
SECONDS = 180
HOME = "$HOME"
"""In what a client is asked by: the home that it is given."""
PACKAGES = {"continue": "@continuedev/cli@1.5.47", "cline": "cline@3.0.65"}
"""Clients that are asked through what is printed for them alone, by their packages."""


class Clients:
    """Clients that are installed in a folder, each asked one question through what is printed for it.

    Args:
        installed: That folder.
        address: Where the gateway is.
        environment: How to reach package indexes, and nothing else.
    """

    def __init__(self, installed: Path, address: str, environment: Mapping[str, str]) -> None:
        self._installed = installed
        self._address = address
        self._environment = environment
        self._asking = {
            "opencode": (self._node("opencode"), "run", QUESTION),
            "codex": (self._node("codex"), "exec", "--skip-git-repo-check", QUESTION),
            "aider": (self._python("aider"), "--chat-mode", "ask", "--no-stream", "--no-git", "--message", QUESTION),
            "llm": (self._python("llm"), "-m", "dragoman", QUESTION),
            "langchain": (self._python("langchain", "python"), "program"),
            "continue": (self._node("continue", "cn"), "-p", "--config", f"{HOME}/.continue/config.yaml", QUESTION),
            "cline": (self._node("cline"), "--provider", "openai", "--model", "sonnet", QUESTION),
            "openai-node": ("node", str(installed / "npm" / "openai-node" / "program.mjs")),
        }

    @property
    def known(self) -> list[str]:
        """Those that are installed."""
        return [
            name
            for name in self._asking
            if (self._installed / "venvs" / name).is_dir() or (self._installed / "npm" / name).is_dir()
        ]

    def passes(self, name: str) -> bool:
        """Whether a client finds the gateway by what is printed for it, and prints the answer."""
        with TemporaryDirectory(prefix="dragoman-connect-", ignore_cleanup_errors=True) as folder:
            home = Path(folder)
            told = json.loads(self._run(home, *self._connect(name)))
            self._write(home, name, told)
            variables = {"OPENAI_API_KEY": "none", "DRAGOMAN_API_KEY": "none", "LLM_USER_PATH": str(home / "llm")}
            if name == "llm":
                self._run(home, self._asking[name][0], "keys", "set", "dragoman", "--value", "none", **variables)
            if name == "cline":
                self._type(home, told["parts"][1]["text"], Path(self._asking[name][0]).parent)
            try:
                asked = (word.replace(HOME, folder) for word in self._asking[name])
                return "PONG" in self._run(home, *asked, **variables)
            finally:
                self._end_what_is_left(home)

    def _type(self, home: Path, line: str, programs: Path) -> None:
        """Do what is printed for a shell."""
        self._run(home, "sh", "-c", line, PATH=f"{programs}:{self._environment['PATH']}")

    def _end_what_is_left(self, home: Path) -> None:
        """Some clients leave a process behind, which works in the home that they were given."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if Path(process.cwd()) == home:
                    process.terminate()

    def _connect(self, name: str) -> tuple[str, ...]:
        return (str(Path(sys.executable).with_name("dragoman")), "connect", name, "--json", "--address", self._address)

    def _write(self, home: Path, name: str, told: Mapping[str, object]) -> None:
        """Put the files where they belong, and the program where its libraries are found."""
        parts = told["parts"]
        assert isinstance(parts, list)
        places = {"llm": home / "llm" / "extra-openai-models.yaml"}
        programs = {"langchain": home / "program", "openai-node": self._installed / "npm" / name / "program.mjs"}
        for part in (part for place, part in enumerate(parts) if part["file"] or place == 0):
            path = places.get(name) or programs.get(name) or Path(part["where"].replace("~", str(home), 1))
            if path.is_absolute():  # others are places in a window
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{part['text']}\n", encoding="utf-8")

    def _run(self, home: Path, *command: str, **variables: str) -> str:
        env = {**self._environment, "HOME": str(home), "OPENCODE_DISABLE_MODELS_FETCH": "1", **variables}
        done = subprocess.run(  # noqa: S603 - named by whoever runs the checks
            command,
            cwd=home,
            env=env,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            print(done.stdout[-500:], done.stderr[-1500:], sep="\n", file=sys.stderr)  # noqa: T201 - a program
        return done.stdout

    def _python(self, client: str, program: str = "") -> str:
        return str(self._installed / "venvs" / client / "bin" / (program or client))

    def _node(self, client: str, program: str = "") -> str:
        return str(self._installed / "npm" / client / "node_modules" / ".bin" / (program or client))
