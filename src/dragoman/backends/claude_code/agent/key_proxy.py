"""Keeps the API key away from agents: their calls go through the gateway, which adds the key.

An agent's commands can read whatever its runtime holds. So the runtime gets a token in place of the key, which is valid
for its run, and only here. The proxy passes on calls of the Messages API and nothing else of the account. Limits
and budgets are asked before each of these calls.
"""

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from dragoman.backends.base import CallMeter, ReservedCall
from dragoman.backends.claude_code.agent.call_usage import CallUsage
from dragoman.backends.claude_code.loopback_server import LoopbackServer
from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSONObject
from dragoman.core.value_object import value_object
from dragoman.http.client import HttpClient, Timeouts
from dragoman.http.errors import TransportError

_DEFAULT_BASE_URL = "https://api.anthropic.com"
_MODEL_PATH = "/v1/messages"
_PATHS = frozenset({_MODEL_PATH, "/v1/messages/count_tokens"})
_OF_ONE_CONNECTION = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding", "expect", "upgrade"}
    | {"proxy-authorization", "proxy-connection", "te", "trailer"}
)
"""Headers that are not passed on."""
_KEY_HEADER = "x-api-key"
_MAX_BYTES = 64 * 1024**2
_MAX_BYTES_IN_ALL = 256 * 1024**2
"""Of the requests that are received or answered at one time."""
_REQUEST_TIMEOUT = 60.0
_PIECE = 64 * 1024

_ERROR = b'{"type":"error","error":{"type":"%s","message":"%s"}}'


class _Refused(Exception):  # noqa: N818 - a response, not an error of the gateway
    """A response of the proxy itself: status, type of the error, text."""

    def __init__(self, status: int, kind: bytes, message: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = _ERROR % (kind, message)


class KeyProxy:
    """A server on loopback for the runtimes of agents. Owns its connections.

    Args:
        key: The API key.
        base_url: The address of the API; None for the provider's own.
        silence: Seconds without a byte from the API after which a call fails.
    """

    def __init__(self, key: str, base_url: str | None, silence: float) -> None:
        self._key = key
        self._base_url = base_url or _DEFAULT_BASE_URL
        self._silence = silence
        self._grants: dict[bytes, _Grant] = {}
        self._client: HttpClient | None = None
        self._server: LoopbackServer | None = None
        self._starting = asyncio.Lock()
        self._held_bytes = 0

    async def add_token(
        self, calls: CallMeter | None = None, on_refusal: Callable[[GatewayError], None] = lambda _: None
    ) -> str:
        """Return a new token, and start the server if there is none.

        Args:
            calls: Asked before each call of the model; gets what it has used.
            on_refusal: Called with the error if a call must not be made.
        """
        async with self._starting:
            if self._server is None:
                self._client = HttpClient(
                    self._base_url, timeouts=Timeouts(head=self._silence, silence=self._silence, keep_alive=10.0)
                )
                server = LoopbackServer(self._serve)
                await server.start()
                self._server = server
        token = f"agent-{secrets.token_urlsafe(32)}"
        self._grants[token.encode()] = _Grant(calls, on_refusal)
        return token

    def remove_token(self, token: str) -> None:
        """Make a token invalid. Idempotent."""
        self._grants.pop(token.encode(), None)

    @property
    def url(self) -> str:
        """The address of the server, once there is a token."""
        if self._server is None:
            raise RuntimeError("there was no token yet")
        return self._server.url

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        if self._server is not None:
            await self._server.aclose()
        if self._client is not None:
            await self._client.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection. The call ends if the runtime closes the connection before."""
        request = _Request()
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT):
                is_ready = await self._read_request(reader, request)
            if is_ready:
                answering = asyncio.ensure_future(self._answer(request, writer))
                leaving = asyncio.ensure_future(reader.read(1))
                try:
                    await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    answering.cancel()
                    leaving.cancel()
                    await asyncio.wait([answering, leaving])
        except TimeoutError:
            pass
        finally:
            self._held_bytes -= request.received

    async def _read_request(self, reader: asyncio.StreamReader, request: "_Request") -> bool:
        """Receive a request. Return whether it can be answered. The body of one without a token is not read."""
        while not request.complete and request.received <= _MAX_BYTES and self._held_bytes <= _MAX_BYTES_IN_ALL:
            if not (data := await reader.read(_PIECE)):
                return False
            request.received += len(data)
            self._held_bytes += len(data)
            try:
                request.parser.feed_data(data)
            except (HttpParserError, HttpParserUpgrade):
                return False
            if request.has_head and self._grant(request) is None:
                return True
        return request.complete

    def _grant(self, request: "_Request") -> "_Grant | None":
        token = request.headers.get(_KEY_HEADER, "").encode()
        return next((grant for known, grant in self._grants.items() if hmac.compare_digest(token, known)), None)

    async def _answer(self, request: "_Request", writer: asyncio.StreamWriter) -> None:
        """Send the response. One that broke off upstream breaks off here."""
        with contextlib.suppress(ConnectionError, TransportError):
            try:
                async with aclosing(self._forward(request)) as parts:
                    async for part in parts:
                        writer.write(part)
                        await writer.drain()
            except _Refused as refused:
                head = b"HTTP/1.1 %d -\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n"
                writer.write(head % refused.status + refused.body)
            writer.close()
            await writer.wait_closed()

    async def _forward(self, request: "_Request") -> AsyncGenerator[bytes, None]:
        """Send a request on, and yield its response: the head, then chunks."""
        if (grant := self._grant(request)) is None:
            raise _Refused(401, b"authentication_error", b"The token of this agent is not valid.")
        path = request.target.partition("?")[0]
        if request.method != b"POST" or path not in _PATHS:
            raise _Refused(403, b"permission_error", b"An agent may only call the Messages API.")
        if self._client is None:
            raise RuntimeError("there is no client")
        headers = {**request.headers, _KEY_HEADER: self._key}
        headers.pop("authorization", None)
        call, body = await grant.begin(request.body) if path == _MODEL_PATH else (None, bytes(request.body))
        usage = CallUsage(call)
        try:
            response = await self._client.send(b"POST", request.target.encode(), _lines(headers), body)
        except TransportError as error:
            usage.end()
            raise _Refused(502, b"api_error", b"The API cannot be reached: %s." % str(error).encode()) from None
        try:
            head = b"HTTP/1.1 %d -\r\n%sconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
            yield head % (response.status, _lines(response.headers))
            while data := await response.read():
                usage.feed(data)
                yield b"%x\r\n%s\r\n" % (len(data), data)
            yield b"0\r\n\r\n"
        finally:
            usage.end()
            await response.aclose()


@value_object
class _Grant:
    """What a token allows.

    Attributes:
        calls: Asked before each call of the model.
        on_refusal: Called with the error if a call must not be made.
    """

    calls: CallMeter | None
    on_refusal: Callable[[GatewayError], None]

    async def begin(self, body: bytes | bytearray) -> tuple[ReservedCall | None, bytes]:
        """Return a call that may be made, and its body.

        Raises:
            _Refused: It must not be made, or the body is not one.
        """
        if self.calls is None:
            return None, bytes(body)
        try:
            fields = cast("JSONObject", msgspec.json.decode(body))
            call = await self.calls.begin(fields)
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
            raise _Refused(400, b"invalid_request_error", b"The body is not readable.") from None
        except GatewayError as error:
            self.on_refusal(error)
            raise _Refused(400, b"invalid_request_error", b"No further call is allowed.") from None
        if call.max_tokens is None:
            return call, bytes(body)
        return call, msgspec.json.encode({**fields, "max_tokens": call.max_tokens})


class _Request:
    """A request while it is received. The parser calls the `on_...` methods."""

    def __init__(self) -> None:
        self.target = ""
        self.method = b""
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.received = 0
        self.has_head = False
        self.complete = False
        self.parser = HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        """Take the target, or a part of it."""
        self.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Several with one name become one."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """Take the end of the head."""
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """Take the end."""
        self.complete = True
        self.method = self.parser.get_method()


def _lines(headers: dict[str, str]) -> bytes:
    lines = (f"{name}: {value}\r\n" for name, value in headers.items() if name not in _OF_ONE_CONNECTION)
    return "".join(lines).encode("latin-1")
