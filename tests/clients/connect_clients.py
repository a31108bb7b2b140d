"""Real clients with the configuration that `dragoman connect` prints: part of `make clients`."""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

PROMPT = "Reply with exactly: PONG"
TIMEOUT = 180
HOME = "$HOME"
"""In a command, this is replaced by the client's home directory."""
PACKAGES = {"continue": "@continuedev/cli@1.5.47", "cline": "cline@3.0.65"}
"""The packages of clients that no runner of the checks installs."""


class Clients:
    """Clients that are installed in a folder. Each sends one request with the configuration that is printed for it.

    Args:
        installed: The folder.
        address: The gateway's URL.
        environment: The environment, with access to package indexes and no accounts.
    """

    def __init__(self, installed: Path, address: str, environment: Mapping[str, str]) -> None:
        self._installed = installed
        self._address = address
        self._environment = environment
        self._commands = {
            "opencode": (self._node("opencode"), "run", PROMPT),
            "codex": (self._node("codex"), "exec", "--skip-git-repo-check", PROMPT),
            "aider": (self._python("aider"), "--chat-mode", "ask", "--no-stream", "--no-git", "--message", PROMPT),
            "llm": (self._python("llm"), "-m", "dragoman", PROMPT),
            "langchain": (self._python("langchain", "python"), "program"),
            "continue": (self._node("continue", "cn"), "-p", "--config", f"{HOME}/.continue/config.yaml", PROMPT),
            "cline": (self._node("cline"), "--provider", "openai", "--model", "sonnet", PROMPT),
            "openai-node": ("node", str(installed / "npm" / "openai-node" / "program.mjs")),
        }

    @property
    def installed(self) -> list[str]:
        """The names of the installed clients."""
        return [
            name
            for name in self._commands
            if (self._installed / "venvs" / name).is_dir() or (self._installed / "npm" / name).is_dir()
        ]

    def passes(self, name: str) -> bool:
        """Return whether a client reaches the gateway with the printed configuration, and prints the response."""
        with TemporaryDirectory(prefix="dragoman-connect-", ignore_cleanup_errors=True) as folder:
            home = Path(folder)
            printed = json.loads(self._run(home, *self._connect(name)))
            self._write(home, name, printed)
            variables = {"OPENAI_API_KEY": "none", "LLM_USER_PATH": str(home / "llm")}
            if printed["key_variable"]:  # some clients are given their key otherwise
                variables[printed["key_variable"]] = "none"
            if name == "llm":
                self._run(home, self._commands[name][0], "keys", "set", "dragoman", "--value", "none", **variables)
            if name == "cline":
                self._run_shell(home, printed["parts"][1]["text"], Path(self._commands[name][0]).parent)
            try:
                command = (word.replace(HOME, folder) for word in self._commands[name])
                return "PONG" in self._run(home, *command, **variables)
            finally:
                self._terminate_remaining(home)

    def _run_shell(self, home: Path, line: str, programs: Path) -> None:
        """Run a printed command line."""
        self._run(home, "sh", "-c", line, PATH=f"{programs}:{self._environment['PATH']}")

    def _terminate_remaining(self, home: Path) -> None:
        """Terminate processes that a client leaves behind. Their working directory is its home."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if Path(process.cwd()) == home:
                    process.terminate()

    def _connect(self, name: str) -> tuple[str, ...]:
        return (str(Path(sys.executable).with_name("dragoman")), "connect", name, "--json", "--address", self._address)

    def _write(self, home: Path, name: str, printed: Mapping[str, object]) -> None:
        """Write the printed files, and the printed program next to its libraries."""
        parts = printed["parts"]
        assert isinstance(parts, list)
        files = {"llm": home / "llm" / "extra-openai-models.yaml"}
        programs = {"langchain": home / "program", "openai-node": self._installed / "npm" / name / "program.mjs"}
        for part in (part for index, part in enumerate(parts) if part["file"] or index == 0):
            path = files.get(name) or programs.get(name) or Path(part["where"].replace("~", str(home), 1))
            if path.is_absolute():  # others are names of settings in a window
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{part['text']}\n", encoding="utf-8")

    def _run(self, home: Path, *command: str, **variables: str) -> str:
        env = {**self._environment, "HOME": str(home), "OPENCODE_DISABLE_MODELS_FETCH": "1", **variables}
        done = subprocess.run(  # noqa: S603 - commands of this file
            command,
            cwd=home,
            env=env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
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
