"""The other processes of this gateway: questions to them, and requests that one of them has to answer.

They are the workers of the same gateway, each on a Unix socket in a directory that only the gateway's user can enter,
and the processes of other nodes (`dragoman.server.nodes`). A connection carries one question, or one request with its
response as ASGI messages. A request comes with all its headers, and passes the checks of the process that answers it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope

from dragoman.core import log
from dragoman.core.errors import UpstreamFailed
from dragoman.core.messages import JSON
from dragoman.server.context import RequestContext
from dragoman.server.disconnect import cancel_on_disconnect
from dragoman.server.nodes import Nodes
from dragoman.server.peer_channel import CONNECT_SECONDS, LOST, Channel, connect_local

_SECONDS = 3.0
"""How long a process may take to answer a question."""
_OWNER_ONLY = 0o600
FORWARDED_KEY = "dragoman.forwarded"
"""The key of a scope that says that another process has passed the request on."""

Answer: TypeAlias = Callable[[str], Awaitable[JSON]]
"""Answers a question, given its argument."""

PeerId: TypeAlias = int | str
"""Another process: the number of a worker of this gateway, or the name of a process of another node."""

Serve: TypeAlias = Callable[[Channel, list[Any]], Awaitable[None]]
"""Serves a connection, given the rest of its first message."""


class Peers:
    """The other processes, as one of them sees them.

    Args:
        index: The number of this worker, from 0.
        count: The number of all workers of this gateway.
        directory: The directory of the sockets; None: there is one worker.

    Attributes:
        index: The number of this worker.
        count: The number of all workers of this gateway.
        directory: See above.
        history: The metrics of workers that have ended.
        nodes: The processes of other nodes; None: there are no other nodes.
    """

    def __init__(self, index: int, count: int, directory: Path | None = None) -> None:
        self.index = index
        self.count = count
        self.directory = directory
        self.nodes: Nodes | None = None
        if directory is not None:
            from dragoman.server.peer_metrics import MetricsHistory  # noqa: PLC0415 - only with several workers

            self.history = MetricsHistory(directory, count)
        self._answers: dict[str, Answer] = {}
        self._served: dict[str, Serve] = {"ask": self._answer}
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, question: str, answer: Answer) -> None:
        """Set how a question of other processes is answered."""
        self._answers[question] = answer

    def serve_kind(self, kind: str, serve: Serve) -> None:
        """Set what serves the connections of one kind."""
        self._served[kind] = serve

    def serve(self, app: ASGIApp) -> None:
        """Set the application that answers the requests of other processes."""

        async def serve(channel: Channel, rest: list[Any]) -> None:
            head, body = rest
            await serve_request(app, head, body, channel)

        self.serve_kind("request", serve)

    async def start(self) -> None:
        """Listen for the other processes.

        Raises:
            OSError: A socket or port cannot be opened.
        """
        if self.directory is not None:
            path = self._path(self.index)
            path.unlink(missing_ok=True)  # that of a worker that was killed
            self._server = await asyncio.start_unix_server(self._accept_local, path)
            path.chmod(_OWNER_ONLY)
        if self.nodes is not None:
            await self.nodes.start(self._accept_node)

    async def aclose(self) -> None:
        """Stop listening, and end what is under way. Idempotent."""
        if self._server is not None:
            self._server.close()
        if self.nodes is not None:
            await self.nodes.aclose()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def all(self) -> list[PeerId]:
        """Return the other processes, on all nodes."""
        workers: list[PeerId] = [index for index in range(self.count) if index != self.index]
        return workers + list(self.nodes.others) if self.nodes else workers

    def own_name(self, peer: PeerId) -> PeerId:
        """Return the name by which another process knows this one."""
        return self.index if isinstance(peer, int) or self.nodes is None else self.nodes.own.process

    async def ask(self, question: str, argument: str = "") -> Mapping[int, JSON]:
        """Ask the other workers of this gateway. Return the answers of those that run, by number."""
        others = [index for index in range(self.count) if index != self.index]
        answers = await asyncio.gather(*(self._ask(index, question, argument) for index in others))
        return {index: answer[0] for index, answer in zip(others, answers, strict=True) if answer}

    async def ask_all(self, question: str, argument: str = "") -> Mapping[PeerId, JSON]:
        """Ask the other processes of all nodes. Return the answers of those that run."""
        others = self.all()
        answers = await asyncio.gather(*(self._ask(peer, question, argument) for peer in others))
        return {peer: answer[0] for peer, answer in zip(others, answers, strict=True) if answer}

    async def find(self, id_: str) -> PeerId | None:
        """Return the other process that executes a run, generates a response, or has this name."""
        if self.nodes is not None and await self.nodes.find(id_):
            return id_

        async def ask_one(peer: PeerId) -> PeerId | None:
            answer = await self._ask(peer, "holds", id_)
            return peer if answer and answer[0] else None

        questions = [asyncio.ensure_future(ask_one(peer)) for peer in self.all()]
        try:
            for answer in asyncio.as_completed(questions):
                if (peer := await answer) is not None:
                    return peer
        finally:
            for task in questions:
                task.cancel()
        return None

    async def open(self, peer: PeerId, seconds: float = CONNECT_SECONDS) -> Channel:
        """Connect to another process.

        Args:
            peer: The process.
            seconds: How long one of another node may take to accept the connection.

        Raises:
            OSError: It does not run.
            TimeoutError: Its node cannot be reached.
        """
        if isinstance(peer, int):
            return await connect_local(self._path(peer))
        if self.nodes is None:
            raise ConnectionRefusedError(f"{peer} is not known")
        return await self.nodes.open(peer, seconds)

    async def forward(self, peer: PeerId, context: RequestContext, receive: Receive, body: bytes = b"") -> None:
        """Have another process answer a request.

        Args:
            peer: The process.
            context: The request.
            receive: Reports that the client disconnects. The body has been read from it.
            body: The body, decoded.

        Raises:
            UpstreamFailed: The process ended.
            ClientDisconnected: The client disconnected.
        """
        try:
            channel = await self.open(peer)
        except LOST:
            raise _ended() from None
        try:
            channel.write(["request", request_head(context, body), body])
            await pass_response_on(channel, context, receive)
        finally:
            channel.close()

    def _path(self, index: int) -> Path:
        return (self.directory or Path()) / f"{index}.sock"

    async def _ask(self, peer: PeerId, question: str, argument: str) -> list[JSON]:
        """Return a list with the answer; an empty one if the process does not run."""
        try:
            async with asyncio.timeout(_SECONDS):
                channel = await self.open(peer)
                try:
                    channel.write(["ask", question, argument])
                    return [await channel.read()]
                finally:
                    channel.close()
        except LOST:
            return []

    async def _answer(self, channel: Channel, rest: list[Any]) -> None:
        question, argument = rest
        channel.write(await self._answers[question](argument))
        await channel.drain()

    async def _accept_local(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._accept(writer, None, Channel(reader, writer))

    async def _accept_node(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.nodes is not None:
            await self._accept(writer, self.nodes.key.accept(reader, writer), None)

    async def _accept(
        self, writer: asyncio.StreamWriter, opening: Awaitable[Channel] | None, channel: Channel | None
    ) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            if opening is not None:
                channel = await opening
            if channel is not None:
                kind, *rest = await channel.read()
                await self._served[kind](channel, rest)
        except (*LOST, asyncio.CancelledError):
            pass  # cancelled by `aclose`, which asyncio would log
        except Exception:
            log.exception("peers.broke")
        finally:
            writer.close()


async def pass_response_on(channel: Channel, context: RequestContext, receive: Receive) -> None:
    """Send the response of another process to the client.

    Raises:
        UpstreamFailed: The process ended.
        ClientDisconnected: The client disconnected.
    """
    own = {name for name, _ in context.response_headers}
    more = True
    async with cancel_on_disconnect(receive):
        while more:
            try:
                message = await channel.read()
            except LOST:
                raise _ended() from None
            if message["type"] == "http.response.start":
                message["headers"] = [(name, value) for name, value in message["headers"] if name not in own]
            else:
                more = message.get("more_body", False)
            await context.send(message)


async def serve_request(app: ASGIApp, head: dict[str, Any], body: bytes, channel: Channel) -> None:
    """Answer a request of another process."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "raw_path": head["path"].encode(),
        **head,
        "headers": [(name, value) for name, value in head["headers"]],
        FORWARDED_KEY: True,
    }
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if unread:
            return unread.pop()
        with suppress(OSError):
            await channel.wait_closed_by_peer()  # it closes the connection if its client disconnects
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        channel.write(message)
        await channel.drain()

    await app(scope, receive, send)


def request_head(context: RequestContext, body: bytes, without: frozenset[bytes] = frozenset()) -> dict[str, Any]:
    """Return what another process needs of a request in addition to its body.

    Args:
        context: The request.
        body: Its body.
        without: Headers that the other process does not get.
    """
    scope = context.scope
    dropped = {b"content-length", b"content-encoding", b"x-request-id"} | without
    headers = [(name, value) for name, value in scope["headers"] if name not in dropped]
    path: str = scope["path"]
    if context.deployment is not None:  # the middleware has taken the model out of the path
        root = "/openai/deployments" if path.startswith("/v1/") else "/deployments"
        path = f"{root}/{context.deployment}/{path.removeprefix('/v1').removeprefix('/')}"
    return {
        "method": scope["method"],
        "path": path,
        "query_string": scope["query_string"],
        "headers": [*headers, (b"content-length", str(len(body)).encode()), (b"x-request-id", context.id.encode())],
        "client": scope.get("client"),
        "server": scope.get("server"),
    }


def _ended() -> UpstreamFailed:
    return UpstreamFailed("The worker of the gateway that carried this out has ended. Send the request again.")
