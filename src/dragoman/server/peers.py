"""The other workers of this gateway: questions to them, and requests that one of them has to answer.

Each worker listens on a Unix socket in a directory that only the gateway's user can enter. A message is its length in
four bytes and MessagePack. A connection carries one question, or one request with its response as ASGI messages. A
request comes with all its headers and passes the checks of the worker that answers it like any other.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope

from dragoman.core import log
from dragoman.core.errors import UpstreamFailed
from dragoman.core.messages import JSON
from dragoman.server.context import RequestContext
from dragoman.server.disconnect import cancel_on_disconnect

_SECONDS = 3.0
"""How long a worker may take to answer a question."""
_OWNER_ONLY = 0o600
_LENGTH = struct.Struct(">I")
_LOST = (OSError, asyncio.IncompleteReadError, TimeoutError)

Answer: TypeAlias = Callable[[str], Awaitable[JSON]]
"""Answers a question, given its argument."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Peers:
    """The workers of a gateway, as one of them sees them.

    Args:
        index: The number of this worker, from 0.
        count: The number of all workers.
        directory: The directory of the sockets.

    Attributes:
        index: The number of this worker.
        count: The number of all workers.
        history: The metrics of workers that have ended.
    """

    def __init__(self, index: int, count: int, directory: Path) -> None:
        self.index = index
        self.count = count
        from dragoman.server.peer_metrics import MetricsHistory  # noqa: PLC0415 - only with several workers

        self.history = MetricsHistory(directory, count)
        self._directory = directory
        self._answers: dict[str, Answer] = {}
        self._app: ASGIApp | None = None
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, question: str, answer: Answer) -> None:
        """Set how a question of other workers is answered."""
        self._answers[question] = answer

    def serve(self, app: ASGIApp) -> None:
        """Set the application that answers the requests of other workers."""
        self._app = app

    async def start(self) -> None:
        """Listen for the other workers."""
        path = self._path(self.index)
        path.unlink(missing_ok=True)  # that of a worker that was killed
        self._server = await asyncio.start_unix_server(self._accept, path)
        path.chmod(_OWNER_ONLY)

    async def aclose(self) -> None:
        """Stop listening, and end what is under way. Idempotent."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def ask(self, question: str, argument: str = "") -> Mapping[int, JSON]:
        """Ask all other workers. Return the answers of those that run, by number."""
        others = [index for index in range(self.count) if index != self.index]
        answers = await asyncio.gather(*(self._ask(index, question, argument) for index in others))
        return {index: answer[0] for index, answer in zip(others, answers, strict=True) if answer}

    async def find(self, id_: str) -> int | None:
        """Return the other worker that executes a run, generates a response, or is the process of this id."""
        return next((index for index, held in (await self.ask("holds", id_)).items() if held), None)

    async def forward(self, peer: int, context: RequestContext, receive: Receive, body: bytes = b"") -> None:
        """Have another worker answer a request.

        Args:
            peer: The worker.
            context: The request.
            receive: Reports that the client disconnects. The body has been read from it.
            body: The body, decoded.

        Raises:
            UpstreamFailed: The worker ended.
            ClientDisconnected: The client disconnected.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(self._path(peer))
        except OSError:
            raise _ended() from None
        try:
            writer.write(_frame(["request", _head(context, body), body]))
            async with cancel_on_disconnect(receive):
                await _pass_on(reader, context)
        except _LOST:
            raise _ended() from None
        finally:
            writer.close()

    def _path(self, index: int) -> Path:
        return self._directory / f"{index}.sock"

    async def _ask(self, index: int, question: str, argument: str) -> list[JSON]:
        """Return a list with the answer; an empty one if the worker does not run."""
        try:
            async with asyncio.timeout(_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._path(index))
                try:
                    writer.write(_frame(["ask", question, argument]))
                    return [await _read(reader)]
                finally:
                    writer.close()
        except _LOST:
            return []

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            kind, *rest = await _read(reader)
            if kind == "ask":
                question, argument = rest
                writer.write(_frame(await self._answers[question](argument)))
                await writer.drain()
            elif self._app is not None:
                head, body = rest
                await _serve_request(self._app, head, body, reader, writer)
        except _LOST:
            pass
        except Exception:
            log.exception("peers.broke")
        finally:
            writer.close()


async def _pass_on(reader: asyncio.StreamReader, context: RequestContext) -> None:
    """Send the response of another worker to the client."""
    own = {name for name, _ in context.response_headers}
    more = True
    while more:
        message = await _read(reader)
        if message["type"] == "http.response.start":
            message["headers"] = [(name, value) for name, value in message["headers"] if name not in own]
        else:
            more = message.get("more_body", False)
        await context.send(message)


async def _serve_request(
    app: ASGIApp, head: dict[str, Any], body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer a request of another worker."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "raw_path": head["path"].encode(),
        **head,
        "headers": [(name, value) for name, value in head["headers"]],
    }
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if unread:
            return unread.pop()
        with suppress(OSError):
            await reader.read()  # the other worker closes the connection if its client disconnects
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        writer.write(_frame(message))
        await writer.drain()

    await app(scope, receive, send)


def _head(context: RequestContext, body: bytes) -> dict[str, Any]:
    scope = context.scope
    dropped = {b"content-length", b"content-encoding", b"x-request-id"}
    headers = [(name, value) for name, value in scope["headers"] if name not in dropped]
    return {
        "method": scope["method"],
        "path": scope["path"],
        "query_string": scope["query_string"],
        "headers": [*headers, (b"content-length", str(len(body)).encode()), (b"x-request-id", context.id.encode())],
        "client": scope.get("client"),
        "server": scope.get("server"),
    }


def _frame(message: object) -> bytes:
    data = _encode(message)
    return _LENGTH.pack(len(data)) + data


async def _read(reader: asyncio.StreamReader) -> Any:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return _decode(await reader.readexactly(length))


def _ended() -> UpstreamFailed:
    return UpstreamFailed("The worker of the gateway that carried this out has ended. Send the request again.")
