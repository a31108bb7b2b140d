"""One coding agent in a home directory of its own, with the configuration that `dragoman connect` prints for it."""

import json
import queue
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import psutil

TIMEOUT = 60
"""Seconds for one command, and for one event of a process."""
_EXPORT = re.compile(r"^export (\w+)=(\S+)$", re.MULTILINE)

Message = dict[str, Any]
"""One line of JSON from a client: its shape depends on the client and its version."""


class ScenarioError(Exception):
    """A scenario that failed. The message says why, in one line."""


@dataclass(frozen=True, slots=True)
class AgentSession:
    """An installed client, and the home directory in which it runs.

    Attributes:
        program: The client's executable.
        home: Its home directory, with the printed configuration.
        environment: Its environment, with the variables of the printed shell commands.
    """

    program: Path
    home: Path
    environment: Mapping[str, str]

    @property
    def project(self) -> Path:
        """The directory in which the client works."""
        return self.home / "project"

    def run(self, *arguments: str) -> str:
        """Run the client to its end and return its output.

        Raises:
            ScenarioError: It failed, or did not end in time.
        """
        with self._process(*arguments) as process:
            try:
                output, errors = process.communicate(timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                raise ScenarioError(f"no end within {TIMEOUT} seconds") from None
        if process.returncode:
            raise ScenarioError(f"exit code {process.returncode}: {_last_line(errors) or _last_line(output)}")
        return output

    @contextmanager
    def lines(self, *arguments: str) -> Iterator["LineProcess"]:
        """Run the client as a process that reads and writes lines of JSON, and end it afterwards."""
        with self._process(*arguments, stdin=subprocess.PIPE) as process:
            yield LineProcess(process)

    @contextmanager
    def _process(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(  # noqa: S603 - a client that this program installed
            [self.program, *arguments],
            cwd=self.project,
            env=dict(self.environment),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if stdin == subprocess.DEVNULL else subprocess.DEVNULL,
            text=True,
        )
        try:
            yield process
        finally:
            _end(process)


class LineProcess:
    """A running client that exchanges lines of JSON.

    Args:
        process: The process, with open stdin and stdout.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._messages: queue.Queue[Message | None] = queue.Queue()
        self._ids = 0
        Thread(target=self._read, daemon=True).start()

    def send(self, message: Message) -> None:
        """Write one message."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def request(self, method: str, **params: object) -> Message:
        """Send a JSON-RPC request and return its result. Messages before the result are discarded.

        Raises:
            ScenarioError: The result is an error, or did not arrive in time.
        """
        self._ids += 1
        self.send({"id": self._ids, "method": method, "params": params})
        reply = self.wait(lambda message: message.get("id") == self._ids and "method" not in message, method)
        if "error" in reply:
            raise ScenarioError(f"{method}: {reply['error'].get('message')}")
        result: Message = reply["result"]
        return result

    def wait(self, matches: Callable[[Message], bool], name: str) -> Message:
        """Return the next message that matches.

        Args:
            matches: The test of a message.
            name: What is awaited, for the error.

        Raises:
            ScenarioError: No such message arrived in time.
        """
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                message = self._messages.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise ScenarioError(f"no {name} within {TIMEOUT} seconds") from None
            if message is None:
                raise ScenarioError(f"the client ended before {name}")
            if matches(message):
                return message

    def _read(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError):  # the pipe was closed
            for line in self._process.stdout:
                with suppress(json.JSONDecodeError):
                    self._messages.put(json.loads(line))
        self._messages.put(None)


def open_session(name: str, program: Path, home: Path, address: str, environment: Mapping[str, str]) -> AgentSession:
    """Write the printed configuration into a home directory.

    Args:
        name: The client's name for `dragoman connect`.
        program: The client's executable.
        home: An empty directory.
        address: The gateway's URL.
        environment: The environment without the printed variables.
    """
    command = [str(Path(sys.executable).with_name("dragoman")), "connect", name, "--json", "--address", address]
    done = subprocess.run(  # noqa: S603 - our own command
        command, env={**environment, "HOME": str(home)}, capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    exported: dict[str, str] = {}
    for part in json.loads(done.stdout)["parts"]:
        if part["file"]:
            path = Path(part["where"].replace("~", str(home), 1))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{part['text']}\n", encoding="utf-8")
        else:
            exported.update(_EXPORT.findall(part["text"]))
    session = AgentSession(program, home, {**environment, "HOME": str(home), **exported})
    session.project.mkdir()
    return session


def expect(word: str, output: str) -> None:
    """Check that an output contains a word.

    Raises:
        ScenarioError: It does not.
    """
    if word not in output:
        raise ScenarioError(f"no {word} in the output: {_last_line(output)}")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and those that it started."""
    with suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    if process.poll() is None:
        process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None and not pipe.closed:
            with suppress(OSError):
                pipe.close()
    process.wait()
