"""The gateway's end of the local model's process."""

import asyncio
import contextlib
import os
import sys
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import Self, cast

import structlog

from dragoman.backends.embeddings.frames import HEADER, REPLIES, Answers, Batch, Broken, Ready, Reply, frame
from dragoman.backends.embeddings.library import ModelLocation
from dragoman.core.errors import UpstreamFailed

log = structlog.get_logger("dragoman.embeddings")

_OURS = ("ANTHROPIC_", "CLAUDE_", "DRAGOMAN_")
"""Variables that may hold keys, and mean nothing to a model."""


class ModelProcess:
    """A process with a model in its memory. It has one owner, who asks one batch at a time and closes it.

    Attributes:
        max_tokens: The most tokens of one input, if the model has such a limit.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._asked = cast("StreamWriter", process.stdin)
        self._told = cast("StreamReader", process.stdout)
        self.max_tokens: int | None = None

    @classmethod
    async def start(cls, place: ModelLocation) -> Self:
        """Start a process and load the model.

        Raises:
            UpstreamFailed: The model cannot be loaded.
        """
        command = (sys.executable, "-P", "-m", "dragoman.backends.embeddings.worker", place.path)
        # A session of its own, so that the terminal's Ctrl-C does not reach it before its answers are given.
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=_environment(place), start_new_session=True
        )
        started = cls(process)
        try:
            started.max_tokens = (await started._loaded(place)).max_tokens
        except BaseException:
            await started.aclose()
            raise
        return started

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.returncode is None

    async def ask(self, batch: Batch) -> Answers:
        """Have a batch embedded. After a failure or a cancellation the process is good for nothing but `aclose`.

        Raises:
            UpstreamFailed: The process or the model broke.
        """
        try:
            self._asked.write(frame(batch))
            await self._asked.drain()
            reply = await self._reply()
        except (ConnectionError, IncompleteReadError) as error:
            raise _failed("ended", f"the process ended: {error}") from None
        if isinstance(reply, Answers):
            return reply
        raise _failed("failed", reply.reason if isinstance(reply, Broken) else "an unexpected reply")

    async def aclose(self) -> None:
        """End the process; it holds nothing worth a farewell. Returns when it is gone. Idempotent."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._asked.close()
        await self._process.wait()
        while await self._told.read(1 << 16):  # the pipe is closed only once it is empty
            pass

    async def _loaded(self, place: ModelLocation) -> Ready:
        try:
            reply = await self._reply()
        except IncompleteReadError:
            reply = Broken("the process ended")
        if isinstance(reply, Ready):
            return reply
        raise _failed("cannot be loaded", reply.reason if isinstance(reply, Broken) else "no model", place.name)

    async def _reply(self) -> Reply:
        header = await self._told.readexactly(HEADER)
        return REPLIES.decode(await self._told.readexactly(int.from_bytes(header, "little")))


def _environment(place: ModelLocation) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    hub = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"} if place.offline else {}
    # Threads that wait by spinning get in each other's way, and in everyone's, as soon as the machine does anything
    # else: a rate of 300 texts a second was seen to fall to 80.
    patient = {"OMP_WAIT_POLICY": "PASSIVE"}
    return {**patient, **kept, **hub, "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}


def _failed(what: str, reason: str, model: str = "") -> UpstreamFailed:
    """The reason may hold paths, so it goes to the log alone."""
    log.error("embeddings.broke", what=what, reason=reason)
    name = f" `{model}`" if model else ""
    return UpstreamFailed(f"The embedding model{name} {what}. The gateway's log says why.", code="embeddings_failed")
