"""Replay by transcript: a process takes all earlier messages of a conversation at once.

A process that is started with `--resume=FILE --resume-session-at=LAST` reads the file at the end of its boot. Here the
file is a named pipe, so the process waits there, nearly booted, until a conversation is known. Replay by frames costs 6
to 13 ms of processor time for each pair of messages; a transcript costs about as much as a pair for a thousand of them.

A transcript contains a client's conversation. It is never on the disk: the pipe is for the gateway's user alone, and
has no name any more once its process has opened it.

The rows of a transcript are the runtime's own format. The runtime drops everything before a row that it cannot read or
that is not linked to the next, and does not report it. So all rows are encoded before the first one is written, each
row is linked to the one before, and the backend tests at its start that a transcript arrives whole.
"""

import asyncio
import contextlib
import errno
import os
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from dragoman.backends.claude_code import protocol
from dragoman.backends.shared.installation import run_path
from dragoman.backends.shared.message_reader import runtime_failed
from dragoman.core.errors import TimedOut
from dragoman.core.messages import JSON, JSONObject, Message

FOLDER = "transcripts"

_POLL_SECONDS = 0.01
_UUID_PREFIX_LENGTH = 24
_NOT_OPENED = frozenset({errno.ENXIO, errno.ENOENT})
"""There is no reader yet, or the process has ended and the pipe was removed."""


class TranscriptPipe:
    """The named pipe of one process, from before its start until the transcript is written.

    Attributes:
        last_row: The id that the last row of the transcript must have. The process is started with it.
    """

    def __init__(self, folder: Path) -> None:
        """Make the pipe.

        Args:
            folder: The directory of the pipe. It is made if it is missing.

        Raises:
            OSError: The pipe cannot be made.
        """
        self.last_row = str(uuid.uuid4())
        folder.mkdir(mode=0o700, exist_ok=True)
        self._path = run_path(folder, f"{self.last_row}.jsonl")
        self._transport: asyncio.WriteTransport | None = None
        os.mkfifo(self._path, 0o600)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments that make a process wait for the transcript."""
        return (f"--resume={self._path}", f"--resume-session-at={self.last_row}")

    async def wait_until_opened(self, is_alive: Callable[[], bool], timeout: float) -> None:  # noqa: ASYNC109 - the text of the error names what timed out
        """Return when the process has opened the pipe. The pipe then has no name any more.

        Args:
            is_alive: Whether the process runs.
            timeout: Seconds until the process must open the pipe.

        Raises:
            UpstreamFailed: The process ended before that.
            TimedOut: The process did not open the pipe in time.
            OSError: The pipe cannot be opened.
        """
        try:
            async with asyncio.timeout(timeout):
                while (descriptor := self._open()) is None:
                    if not is_alive():
                        raise runtime_failed("it ended before it read the conversation")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise TimedOut(f"The Claude Code process did not start within {timeout:g} seconds.") from None
        self._path.unlink(missing_ok=True)
        pipe = os.fdopen(descriptor, "wb", buffering=0)
        try:
            self._transport, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, pipe)
        except BaseException:
            pipe.close()
            raise

    def write(self, transcript: bytes) -> None:
        """Write the transcript and close the pipe, without waiting for the process to read it. Call this once."""
        if (transport := self._release()) is not None:
            transport.write(transcript)
            transport.close()

    def abort(self) -> None:
        """Close the pipe, unless a transcript was written. Idempotent."""
        if (transport := self._release()) is not None:
            transport.abort()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _release(self) -> asyncio.WriteTransport | None:
        """Return the transport if it is open. It closes itself when the process is gone."""
        transport, self._transport = self._transport, None
        return None if transport is None or transport.is_closing() else transport

    def _open(self) -> int | None:
        try:
            return os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno not in _NOT_OPENED:
                raise
            return None


def split_conversation(messages: Sequence[Message]) -> tuple[Sequence[Message], list[JSONObject]]:
    """Return the messages of the transcript, and the frames that then call the model.

    Results of tool calls at the end of a conversation are the last message and so never in the transcript: the runtime
    would answer the calls itself. A conversation that ends with the assistant (a prefill) is whole in the transcript.
    An empty user message follows, which the runtime leaves out of the API request.
    """
    if messages[-1]["role"] == "assistant":
        return messages, [protocol.user_frame([], query=True)]
    return messages[:-1], [protocol.user_frame(messages[-1]["content"], query=True)]


def encode_transcript(
    messages: Sequence[Message], model: str, last_row: str, reminders: Sequence[JSONObject] = ()
) -> bytes:
    """Return the rows of a conversation, each linked to the row before.

    Args:
        messages: The messages; at least one, unless there are reminders.
        model: The model's id. Thinking in a message of another model would be left out.
        last_row: The id of the last row.
        reminders: The rows that come before the conversation.
    """
    # A version 4 id and its number in place of the last digits: different in each row, and quick to make.
    prefix = str(uuid.uuid4())[:_UUID_PREFIX_LENGTH]
    count = len(reminders) + len(messages)
    ids = [*(f"{prefix}{number:012x}" for number in range(count - 1)), last_row]
    links = zip(ids, [None, *ids], strict=False)
    rows: list[JSONObject] = [
        {**row, "uuid": id_, "parentUuid": parent} for row, (id_, parent) in zip(reminders, links, strict=False)
    ]
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    rows += [
        {
            "type": message["role"],
            "message": protocol.assistant_message(message["content"], model, index)
            if message["role"] == "assistant"
            else {"role": "user", "content": list[JSON](message["content"])},
            "isSidechain": False,
            "timestamp": timestamp,
            "uuid": id_,
            "parentUuid": parent,
        }
        for index, (message, (id_, parent)) in enumerate(zip(messages, links, strict=True))
    ]
    return msgspec.json.Encoder().encode_lines(rows)
