"""Files of the runtime: those it leaves behind, and the transcripts that processes are booted on.

`Transcripts` deletes what the runtime writes while a process runs. Its file names contain the process id. A process
that exits deletes its own files; a killed one cannot. A process that is killed while it boots may also leave a draft,
which the runtime writes before it replaces a file.

`TranscriptSeeds` makes transcripts to boot on. With a sign-in, the runtime puts reminders (directory, system, model,
date) before the user's first text. After a replay they would go with the first message that follows, wherever that is.
A process that is booted on a transcript of only these reminders has them before the first message, live and replayed
alike. The reminders are the runtime's own: one turn of it, against a stub on loopback and with a dummy token, writes
them, and their rows are used unchanged.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import msgspec
import psutil

from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.loopback_api import LoopbackApi
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.claude_code.resume import encode_transcript
from dragoman.backends.claude_code.session import Session
from dragoman.backends.shared.installation import launch
from dragoman.core.errors import GatewayError, UpstreamFailed
from dragoman.core.messages import JSONObject
from dragoman.core.value_object import replace, value_object

_MIN_DRAFT_AGE = 60.0
"""Seconds after which a draft is not written to any more."""

_MAX_TOKENS = 32_000
_REMINDERS = frozenset({"environment", "model", "session_context", "date"})


class Transcripts:
    """The files of the processes that run in one environment. Files are deleted in a thread, one batch at a time."""

    def __init__(self, environment: Mapping[str, str], *, owned: bool) -> None:
        """Find the directory.

        Args:
            environment: The environment of the processes.
            owned: Whether their configuration directory is the gateway's own. In an operator's directory, only files of
                the gateway's own processes are deleted.
        """
        self._folder = Path(environment.get("CLAUDE_CONFIG_DIR") or Path(environment.get("HOME", "")) / ".claude")
        self._owned = owned
        self._ended: set[int] = set()
        self._deleting: asyncio.Task[None] | None = None

    def process_ended(self, pid: int) -> None:
        """Delete the files of a process that ended, soon. `aclose` waits for that."""
        self._ended.add(pid)
        if self._deleting is None or self._deleting.done():
            self._deleting = asyncio.create_task(self._delete_ended(), name="runtime-files")

    async def aclose(self) -> None:
        """Wait until the files of every ended process are deleted."""
        if self._deleting is not None:
            await asyncio.wait([self._deleting])

    def delete(self, pids: Iterable[int]) -> None:
        """Delete the files of processes that ended, and old drafts. Blocks."""
        for pid in pids:
            for pattern in (f"sessions/{pid}.*", f"*.tmp.{pid}.*"):
                for path in self._folder.glob(pattern):
                    _delete(path)
        self._delete_drafts()

    def delete_stale(self) -> None:
        """Delete the files of all processes that are gone, which a killed gateway leaves behind. Blocks."""
        for path in self._folder.glob("sessions/*.*") if self._owned else ():
            pid = path.name.partition(".")[0]
            if pid.isdecimal() and not psutil.pid_exists(int(pid)):
                _delete(path)
        self._delete_drafts()

    async def _delete_ended(self) -> None:
        while self._ended:
            batch, self._ended = self._ended, set()
            with contextlib.suppress(OSError):  # what cannot be deleted now is stale at the next start
                await asyncio.to_thread(self.delete, batch)

    def _delete_drafts(self) -> None:
        for path in self._folder.rglob("*.tmp.*") if self._owned else ():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - _MIN_DRAFT_AGE:
                    path.unlink()


@value_object
class _Seed:
    rows: Sequence[JSONObject]
    arguments: tuple[str, ...]


class TranscriptSeeds:
    """The transcripts that processes are booted on: one for each model, made when first needed and again each day.

    They are in the gateway's own directory. Nothing is written to the operator's.
    """

    def __init__(self, options: ClaudeCodeOptions, work: Path) -> None:
        """Prepare an empty collection.

        Args:
            options: Settings of the backend.
            work: The working directory of the processes, which the reminders name.
        """
        self._options = options
        self._work = work
        self._folder = options.state_dir / "seeds"
        self._seeds: dict[tuple[str, date], _Seed] = {}
        self._lock = asyncio.Lock()

    async def arguments(self, model: str, day: date) -> tuple[str, ...]:
        """Return the arguments that boot a process on the reminders for a model and a day.

        Raises:
            UpstreamFailed: The runtime wrote no reminders.
            OSError: The transcript cannot be written.
        """
        return (await self._seed(model, day)).arguments

    async def rows(self, model: str, day: date) -> Sequence[JSONObject]:
        """Return the rows of the reminders for a model and a day. Raises as `arguments` does."""
        return (await self._seed(model, day)).rows

    async def _seed(self, model: str, day: date) -> "_Seed":
        async with self._lock:
            if (model, day) not in self._seeds:
                self._seeds = {key: value for key, value in self._seeds.items() if key[1] == day}
                rows = await self._harvest(model)
                self._seeds[model, day] = _Seed(rows, await asyncio.to_thread(self._write, model, rows))
            return self._seeds[model, day]

    def _write(self, model: str, rows: Sequence[JSONObject]) -> tuple[str, ...]:
        session, last_row = str(uuid.uuid4()), str(uuid.uuid4())
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{model}.jsonl"
        draft = path.with_suffix(f".{session}")
        draft.write_bytes(encode_transcript((), model, last_row, [{**row, "sessionId": session} for row in rows]))
        draft.replace(path)
        return (f"--resume={path}", f"--resume-session-at={last_row}")

    async def _harvest(self, model: str) -> list[JSONObject]:
        """Return the rows of the reminders that the runtime writes in one turn against a stub of the API."""
        async with LoopbackApi() as stub:
            with TemporaryDirectory(prefix="dragoman-") as scratch:
                await self._run_turn(model, stub.url, scratch)
                rows = await asyncio.to_thread(_read_reminders, Path(scratch))
        if {_attachment_type(row) for row in rows} != _REMINDERS:
            raise UpstreamFailed(
                "This Claude Code version does not write its reminders as expected.", code="runtime_failed"
            )
        return rows

    async def _run_turn(self, model: str, base_url: str, scratch: str) -> None:
        options = replace(self._options, base_url=base_url, config_dir=Path(scratch), retries=0)
        env = protocol.environment(options) | {"CLAUDE_CODE_OAUTH_TOKEN": "none", "HOME": scratch}
        argv = [argument for argument in protocol.arguments() if argument != "--no-session-persistence"]
        session = Session(await launch(options, argv, env, self._work), silence=self._options.boot_timeout)
        try:
            await session.initialize({"systemPrompt": ""}, [], {"model": model})
            frames = [protocol.user_frame([{"type": "text", "text": "-"}], query=True)]
            with contextlib.suppress(GatewayError):  # the reminders are written before the response
                async for _ in session.run_turn(frames, _MAX_TOKENS):
                    pass
            await session.finish()
        finally:
            session.discard()
            await asyncio.shield(session.exited)


def _delete(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _attachment_type(row: JSONObject) -> str:
    attachment = row["attachment"]
    return str(attachment.get("type")) if isinstance(attachment, dict) else ""


def _read_reminders(folder: Path) -> list[JSONObject]:
    lines = [line for file in folder.rglob("*.jsonl") for line in file.read_bytes().splitlines()]
    rows = [cast("JSONObject", msgspec.json.decode(line)) for line in lines]
    return [row for row in rows if row.get("type") == "attachment" and _attachment_type(row) in _REMINDERS]
