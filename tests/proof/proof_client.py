"""One HTTP request as a good or a bad client sends it, on a connection of its own."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import h11
from proof_message import Object

_READ_BYTES = 65_536
_SLOW_BYTES = 900
_SLOW_SECONDS = 0.01
_UNREAD_SECONDS = 2.0
_READ_SOME = 1


@dataclass
class Reply:
    """What a client received.

    Attributes:
        status: The HTTP status. 0: none.
        headers: By name in lower case.
        body: The bytes of the body.
        is_complete: Whether the body was complete, by the rules of HTTP.
        error: Why the connection failed.
        left: Whether the client left on purpose.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    is_complete: bool = False
    error: str = ""
    left: bool = False

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream of events."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    def json(self) -> Object:
        """Return the body as JSON.

        Raises:
            ValueError: It is not JSON.
            TypeError: It is not an object.
        """
        value = json.loads(self.body)
        if not isinstance(value, dict):
            raise TypeError("the body is not a JSON object")
        return value


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a client reads.

    Attributes:
        leaves_after: Bytes of the body after which it closes the connection. None: it stays.
        early: Seconds after which it closes the connection before any response. None: it waits.
        half_closes: Whether it closes its own side after the request.
        reads: Whether it reads the response.
        slowly: Whether it reads in small pieces, with pauses.
        on_start: Called once, when the head was received.
    """

    leaves_after: int | None = None
    early: float | None = None
    half_closes: bool = False
    reads: bool = True
    slowly: bool = False
    on_start: Callable[[Reply], None] | None = None


_READS = Behaviour()


async def send(
    port: int, method: str, path: str, body: Object | None = None, request_id: str = "", behaviour: Behaviour = _READS
) -> Reply:
    """Send one request to 127.0.0.1, and read the response as the client's behaviour says."""
    reply = Reply()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        reply.error = type(error).__name__
        return reply
    try:
        writer.write(_request(port, method, path, body, request_id))
        await writer.drain()
        if behaviour.half_closes:
            writer.write_eof()
        await _read(reader, reply, behaviour)
    except OSError as error:
        reply.error = type(error).__name__
    finally:
        writer.transport.abort()
    return reply


def _request(port: int, method: str, path: str, body: Object | None, request_id: str) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    head = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{port}", "connection: close", f"content-length: {len(data)}"]
    head += ["content-type: application/json"] if data else []
    head += [f"x-request-id: {request_id}"] if request_id else []
    head += ["anthropic-version: 2023-06-01"] if path == "/v1/messages" else []
    return "\r\n".join([*head, "", ""]).encode() + data


async def _read(reader: asyncio.StreamReader, reply: Reply, behaviour: Behaviour) -> None:
    if behaviour.early is not None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(_READ_SOME), behaviour.early)
        reply.left = True
        return
    if not behaviour.reads:
        await asyncio.sleep(_UNREAD_SECONDS)
        reply.left = True
        return
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))  # to expect a response
    parser.send(h11.EndOfMessage())
    while not (reply.is_complete or reply.left):
        data = await reader.read(_SLOW_BYTES if behaviour.slowly else _READ_BYTES)
        if behaviour.slowly:
            await asyncio.sleep(_SLOW_SECONDS)
        try:
            parser.receive_data(data)
            _take(parser, reply, behaviour)
        except h11.RemoteProtocolError as error:
            reply.error = str(error)[:80]
            return
        if not data and not reply.is_complete:
            reply.error = reply.error or "the connection was closed"
            return


def _take(parser: h11.Connection, reply: Reply, behaviour: Behaviour) -> None:
    while (event := parser.next_event()) is not h11.NEED_DATA:
        if isinstance(event, h11.Response):
            reply.status = event.status_code
            reply.headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            if behaviour.on_start is not None:
                behaviour.on_start(reply)
        elif isinstance(event, h11.Data):
            reply.body += event.data
            if behaviour.leaves_after is not None and len(reply.body) >= behaviour.leaves_after:
                reply.left = True
                return
        elif isinstance(event, h11.EndOfMessage):
            reply.is_complete = True
            return
        elif isinstance(event, h11.ConnectionClosed):
            return
