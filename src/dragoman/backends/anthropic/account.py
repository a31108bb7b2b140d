"""One account of the Messages API: signs calls, sends them, and maps unexpected responses to failures."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType

from dragoman.backends.anthropic.credentials import ConfiguredCredentials, Credentials
from dragoman.backends.anthropic.failures import Failure, response_failure, transport_failure
from dragoman.backends.anthropic.options import AnthropicOptions
from dragoman.backends.anthropic.request import SHARED_HEADERS, ApiCall
from dragoman.backends.anthropic.sdk_credentials import SdkCredentials
from dragoman.core.events import Retrying
from dragoman.http.client import HttpClient, HttpResponse, Timeouts
from dragoman.http.errors import TransportError

_DEFAULT_ADDRESS = "https://api.anthropic.com"
_OK = 200


class Account:
    """One account of the Messages API. Owns its credentials and connections."""

    def __init__(self, options: AnthropicOptions, credentials: Credentials | None = None) -> None:
        """Prepare without a connection.

        Args:
            options: The backend's options.
            credentials: What signs calls; by default what the options name, or what the SDK finds.
        """
        self._options = options
        self._credentials = credentials or _choose_credentials(options)
        self._client: HttpClient | None = None

    def start(self) -> None:
        """Begin to search for credentials."""
        self._credentials.start()

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        await self._credentials.aclose()
        if self._client is not None:
            await self._client.aclose()

    def missing_credentials(self) -> str | None:
        """Return why calls cannot be signed; None if they can, or if that is not known yet."""
        return self._credentials.missing()

    def failures(self) -> Mapping[str, str]:
        """Return why tasks failed; see `dragoman.core.supervise.ReportsFailures`."""
        return self._credentials.failures()

    @property
    def authentication(self) -> str:
        """The kind of credentials, or `none`."""
        return "none" if self._credentials.missing() else self._credentials.kind

    @property
    def busy_count(self) -> int:
        """The number of connections that carry a call."""
        return self._client.busy_count if self._client else 0

    @property
    def idle_count(self) -> int:
        """The number of idle connections."""
        return self._client.idle_count if self._client else 0

    def send(self, method: bytes, call: ApiCall, content_type: str) -> "AccountCall":
        """Return a call to be sent. If the credentials are refused, they are renewed and the call is repeated once.

        Args:
            method: `GET` or `POST`.
            call: The call.
            content_type: The expected `content-type`.
        """
        return AccountCall(partial(self._send_signed, method, call, content_type), self._options.silence)

    async def _send_signed(
        self, method: bytes, call: ApiCall, content_type: str, on_repeat: Callable[[], object]
    ) -> HttpResponse:
        headers = await self._credentials.sign(method, call)
        try:
            return await self._send_once(method, call, headers, content_type, on_repeat)
        except Failure as failure:
            if not (failure.is_unauthorized and await self._credentials.renew(headers)):
                raise
        headers = await self._credentials.sign(method, call)
        return await self._send_once(method, call, headers, content_type, on_repeat)

    async def _send_once(
        self, method: bytes, call: ApiCall, headers: bytes, content_type: str, on_repeat: Callable[[], object]
    ) -> HttpResponse:
        client = self._client or self._connect()
        response = await client.send(method, call.target, headers, call.body, on_repeat)
        if response.status == _OK and response.headers.get("content-type", "").startswith(content_type):
            return response
        try:
            raise self._credentials.explain(response.status, await response_failure(response))
        finally:
            await response.aclose()

    def _connect(self) -> HttpClient:
        """Create the client. This waits for the first call, because the credentials may determine the address."""
        options = self._options
        self._client = HttpClient(
            options.base_url or self._credentials.base_url or _DEFAULT_ADDRESS,
            SHARED_HEADERS + self._credentials.headers,
            timeouts=Timeouts(connect=options.connect_timeout, head=options.silence, silence=options.silence),
            limit=options.max_connections,
        )
        return self._client


class AccountCall:
    """A call that is sent when the context is entered. Use it as `async with`: it yields the response.

    At the exit, the connection is kept if the response was read or is `settled`, and closed at once if not.

    Args:
        send: Sends the call, and calls its argument before each time that it sends it again.
        silence: The time limit in seconds, for the error that says that it was exceeded.

    Raises:
        Failure: There is no response of the expected type, or it breaks off.
        GatewayError: There are no credentials.
    """

    __slots__ = ("_repeats", "_response", "_send", "_silence")

    def __init__(self, send: Callable[[Callable[[], object]], Awaitable[HttpResponse]], silence: float) -> None:
        self._repeats = 0
        self._send = send
        self._silence = silence
        self._response: HttpResponse | None = None

    async def __aenter__(self) -> HttpResponse:
        try:
            response = self._response = await self._send(self._count_repeat)
        except TransportError as error:
            raise transport_failure(error, self._silence) from None
        return response

    def repeats(self) -> Sequence[Retrying]:
        """Return an event for each repeat by `HttpClient.send` that was not reported yet."""
        repeats, self._repeats = self._repeats, 0
        return [Retrying(1, 0.0, "repeated")] * repeats

    def _count_repeat(self) -> None:
        self._repeats += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._response is not None:
            await self._response.aclose()
        if isinstance(error, TransportError):
            raise transport_failure(error, self._silence) from None


def _choose_credentials(options: AnthropicOptions) -> Credentials:
    if options.api_key:
        return ConfiguredCredentials("api_key", options.api_key)
    if options.auth_token:
        return ConfiguredCredentials("auth_token", options.auth_token)
    return SdkCredentials(options.base_url)
