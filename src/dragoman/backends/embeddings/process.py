"""The process of the local model, as the gateway sees it."""

import asyncio
import contextlib
import os
import sys
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import Self, cast

from dragoman.backends.embeddings.frames import HEADER, REPLIES, Answers, Batch, Broken, Ready, Reply, frame
from dragoman.backends.embeddings.library import ModelLocation
from dragoman.core import log
from dragoman.core.errors import UpstreamFailed

_SECRET_PREFIXES = ("ANTHROPIC_", "CLAUDE_", "DRAGOMAN_")
"""Variables that may hold keys. A model does not need them."""


class ModelProcess:
    """A process that has loaded a model. Its one owner sends one batch at a time, and closes it.

    Attributes:
        max_tokens: The maximum number of tokens of one input, if the model has one.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._stdin = cast("StreamWriter", process.stdin)
        self._stdout = cast("StreamReader", process.stdout)
        self.max_tokens: int | None = None

    @classmethod
    async def start(cls, location: ModelLocation) -> Self:
        """Start a process and load the model.

        Raises:
            UpstreamFailed: The model cannot be loaded.
        """
        command = (sys.executable, "-P", "-m", "dragoman.backends.embeddings.worker", location.path)
        # In its own session, so that Ctrl-C in the terminal does not end it before its results are delivered.
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=_environment(location), start_new_session=True
        )
        started = cls(process)
        try:
            started.max_tokens = (await started._loaded(location)).max_tokens
        except BaseException:
            await started.aclose()
            raise
        return started

    @property
    def alive(self) -> bool:
        """Whether it is running."""
        return self._process.returncode is None

    async def embed(self, batch: Batch) -> Answers:
        """Embed a batch. After a failure or a cancellation only `aclose` may be called.

        Raises:
            UpstreamFailed: The process or the model failed.
        """
        try:
            self._stdin.write(frame(batch))
            await self._stdin.drain()
            reply = await self._reply()
        except (ConnectionError, IncompleteReadError) as error:
            raise _failed("ended", f"the process ended: {error}") from None
        if isinstance(reply, Answers):
            return reply
        raise _failed("failed", reply.reason if isinstance(reply, Broken) else "an unexpected reply")

    async def aclose(self) -> None:
        """Kill the process, which has no state to save, and wait for its end. Idempotent."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._stdin.close()
        await self._process.wait()
        while await self._stdout.read(1 << 16):  # the pipe is closed only once it is empty
            pass

    async def _loaded(self, location: ModelLocation) -> Ready:
        try:
            reply = await self._reply()
        except IncompleteReadError:
            reply = Broken("the process ended")
        if isinstance(reply, Ready):
            return reply
        raise _failed("cannot be loaded", reply.reason if isinstance(reply, Broken) else "no model", location.name)

    async def _reply(self) -> Reply:
        header = await self._stdout.readexactly(HEADER)
        return REPLIES.decode(await self._stdout.readexactly(int.from_bytes(header, "little")))


def _environment(location: ModelLocation) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_SECRET_PREFIXES)}
    hub = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"} if location.offline else {}
    # Threads that spin while they wait slow each other down as soon as the machine does anything else: 300 texts a
    # second fell to 80 in a measurement.
    waiting = {"OMP_WAIT_POLICY": "PASSIVE"}
    return {**waiting, **environment, **hub, "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}


def _failed(what: str, reason: str, model: str = "") -> UpstreamFailed:
    """Log the reason, which may hold paths, and return the error for clients."""
    log.error("embeddings.broke", what=what, reason=reason)
    name = f" `{model}`" if model else ""
    return UpstreamFailed(
        f"The embedding model{name} {what}. The gateway's log has the reason.", code="embeddings_failed"
    )
