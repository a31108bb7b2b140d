"""What the runtime notes of each of its processes while it runs: files whose names begin with the process's id.

A process that ends by itself takes its notes away; one that is killed cannot, and would leave files for each run. One
that is killed while it boots may also leave a draft, which it writes before it puts a file in its place.

With a sign-in, the runtime puts reminders (directory, system, model, date) before the user's words.

Left alone they go with the first message after a replay, wherever that is. A process that is booted on a transcript of
just these reminders has them in front of the first message, live and replayed alike. The reminders are the runtime's
own: one turn of it against a stub on loopback, with a dummy token, writes them down, and we keep its rows as they are.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import msgspec
import psutil

from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.claude_code.session import Session
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.backends.shared.installation import locate
from dragoman.core.errors import GatewayError, UpstreamFailed
from dragoman.core.messages import JSONObject

_DRAFT_AGE = 60.0
"""Seconds after which nobody is still writing a draft."""


class Transcripts:
    """The notes of the processes that have this environment.

    Args:
        environment: Of the processes.
        ours: Their configuration directory is the gateway's own. In an owner's, only the notes of our own processes are
            touched.
    """

    def __init__(self, environment: Mapping[str, str], *, ours: bool) -> None:
        config = environment.get("CLAUDE_CONFIG_DIR") or Path(environment.get("HOME", "")) / ".claude"
        self._folder = Path(config)
        self._ours = ours

    def remove(self, pid: int) -> None:
        """Take away the notes of a process of ours that is gone."""
        for names in (f"sessions/{pid}.*", f"*.tmp.{pid}.*"):
            for note in self._folder.glob(names):
                _remove(note)
        self._remove_drafts()

    def sweep(self) -> None:
        """Take away the notes of all processes that are gone, as a gateway that was killed leaves them."""
        for note in self._folder.glob("sessions/*.*") if self._ours else ():
            pid = note.name.partition(".")[0]
            if pid.isdecimal() and not psutil.pid_exists(int(pid)):
                _remove(note)
        self._remove_drafts()

    def _remove_drafts(self) -> None:
        for draft in self._folder.rglob("*.tmp.*") if self._ours else ():
            with contextlib.suppress(OSError):
                if draft.stat().st_mtime < time.time() - _DRAFT_AGE:
                    draft.unlink()


def _remove(note: Path) -> None:
    with contextlib.suppress(OSError):
        note.unlink()


_REMINDERS = frozenset({"environment", "model", "session_context", "date"})
_STUB_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 84\r\nconnection: close\r\n\r\n"
    b'{"type":"error","error":{"type":"invalid_request_error","message":"only a stand-in"}}'
)


class TranscriptSeeds:
    """The transcripts to boot on, one a model, made when they are first needed and anew each day.

    They lie in our state directory; nothing is written to the owner's.
    """

    def __init__(self, options: ClaudeCodeOptions, work: Path) -> None:
        self._options = options
        self._work = work
        self._folder = options.state_dir / "seeds"
        self._made: dict[tuple[str, date], tuple[str, ...]] = {}
        self._making = asyncio.Lock()

    async def arguments(self, model: str, day: date) -> tuple[str, ...]:
        """The command-line arguments that boot a process on the reminders for a model and a day.

        Raises:
            UpstreamFailed: The runtime wrote no reminders.
        """
        async with self._making:
            if (model, day) not in self._made:
                self._made = {key: made for key, made in self._made.items() if key[1] == day}
                self._made[model, day] = self._write(model, await self._harvest(model))
            return self._made[model, day]

    def _write(self, model: str, rows: Sequence[JSONObject]) -> tuple[str, ...]:
        session, parent = str(uuid.uuid4()), None
        chained: list[JSONObject] = []
        for row in rows:
            chained.append({**row, "parentUuid": parent, "sessionId": session})
            parent = cast("str", row["uuid"])
        self._folder.mkdir(mode=0o700, exist_ok=True)
        seed = self._folder / f"{model}.jsonl"
        draft = seed.with_suffix(f".{session}")
        draft.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in chained))
        draft.replace(seed)
        return (f"--resume={seed}", f"--resume-session-at={parent}")

    async def _harvest(self, model: str) -> list[JSONObject]:
        stub = await asyncio.start_server(_refuse, "127.0.0.1", 0)
        async with stub:
            port = stub.sockets[0].getsockname()[1]
            with TemporaryDirectory(prefix="dragoman-") as scratch:
                await self._one_turn(model, f"http://127.0.0.1:{port}", scratch)
                rows = await asyncio.to_thread(_reminders, Path(scratch))
        if {_kind_of(row) for row in rows} != _REMINDERS:
            raise UpstreamFailed(
                "This Claude Code version does not write its reminders as expected.", code="runtime_failed"
            )
        return rows

    async def _one_turn(self, model: str, base_url: str, scratch: str) -> None:
        options = replace(self._options, base_url=base_url, config_dir=Path(scratch), retries=0)
        env = protocol.environment(options) | {"CLAUDE_CODE_OAUTH_TOKEN": "none", "HOME": scratch}
        argv = [a for a in protocol.arguments() if a != "--no-session-persistence"]
        process = await ChildProcess.spawn([str(locate(options)), *argv], env=env, cwd=self._work)
        session = Session(process, silence=self._options.boot_timeout)
        try:
            await session.begin({"systemPrompt": ""}, [], {"model": model})
            try:
                async for _ in session.ask([protocol.user([{"type": "text", "text": "-"}], ask=True)], limit=1):
                    pass
            except GatewayError:
                pass  # The stub refuses, after the reminders were written down.
            await session.finish()
        finally:
            session.discard()
            await asyncio.shield(session.exited)


def _kind_of(row: JSONObject) -> str:
    return str(cast("JSONObject", row["attachment"]).get("type"))


def _reminders(folder: Path) -> list[JSONObject]:
    lines = [line for file in folder.rglob("*.jsonl") for line in file.read_bytes().splitlines()]
    rows = [cast("JSONObject", msgspec.json.decode(line)) for line in lines]
    return [row for row in rows if row.get("type") == "attachment" and _kind_of(row) in _REMINDERS]


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A stand-in for the API: reads one request and refuses it."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    await reader.readexactly(length)
    writer.write(_STUB_ANSWER)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
