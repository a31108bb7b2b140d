"""Whether a call is made again, and when.

The API as one place to send signed calls to.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dragoman.backends.anthropic.credentials import Credentials, Fixed
from dragoman.backends.anthropic.errors import Failure, from_response, from_transport
from dragoman.backends.anthropic.options import AnthropicOptions
from dragoman.backends.anthropic.request import SHARED_HEADERS, Call
from dragoman.backends.anthropic.sdk_credentials import SdkCredentials
from dragoman.http.client import HttpClient, HttpResponse, Timeouts
from dragoman.http.errors import TransportError

LONGEST_WAIT = 60.0
"""Seconds. Who is asked to wait longer is told so at once, instead of being kept."""

_LONGEST_BACKOFF = 8.0


class Retries:
    """Counts the tries of one call.

    Args:
        most: Tries after the first.
        backoff: Seconds before the first of them, doubled each time; up to a quarter less, by chance, so that clients
            that failed together do not come back together.
    """

    def __init__(self, most: int, backoff: float) -> None:
        self.failed = 0
        self._most = most
        self._backoff = backoff

    def delay(self, failure: Failure) -> float | None:
        """Seconds until the next try; None where there is none."""
        self.failed += 1
        if not failure.passing or self.failed > self._most:
            return None
        if failure.retry_after is not None:
            return failure.retry_after if failure.retry_after <= LONGEST_WAIT else None
        usual: float = min(self._backoff * 2.0 ** (self.failed - 1), _LONGEST_BACKOFF)
        return usual * (1 - random.random() / 4)  # noqa: S311 - no secret


ADDRESS = "https://api.anthropic.com"

_OK = 200


class Upstream:
    """Signs calls, sends them, and makes failures of what is no answer. Owns client and credentials."""

    def __init__(self, options: AnthropicOptions, credentials: Credentials | None = None) -> None:
        self._options = options
        self._credentials = credentials or _credentials(options)
        self._client: HttpClient | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to look for a sign-in."""
        self._credentials.start()

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        self._closed = True
        await self._credentials.aclose()
        if self._client is not None:
            await self._client.aclose()

    @property
    def trouble(self) -> str | None:
        """Why a call would fail."""
        return self._credentials.missing()

    @property
    def authentication(self) -> str:
        """Where key or token come from."""
        return "none" if self._credentials.missing() else self._credentials.kind

    @property
    def busy_count(self) -> int:
        """Connections that carry a call."""
        return self._client.busy_count if self._client else 0

    @property
    def idle_count(self) -> int:
        """Connections that wait for one."""
        return self._client.idle_count if self._client else 0

    @asynccontextmanager
    async def opened(self, method: bytes, call: Call, *, streamed: bool) -> AsyncIterator[HttpResponse]:
        """Send a call and give its answer; a refused token is renewed and the call repeated, once.

        On the way out the connection is kept if the answer was read or is settled, and closed at once if not.

        Args:
            method: `GET` or `POST`.
            call: What is sent.
            streamed: Whether the answer is a stream of events.

        Raises:
            Failure: There is no answer, or it breaks off.
            GatewayError: There is nothing to sign with.
        """
        try:
            response = await self._wanted(method, call, streamed=streamed)
            try:
                yield response
            finally:
                await response.aclose()
        except TransportError as error:
            raise from_transport(error, self._options.silence) from None

    async def _wanted(self, method: bytes, call: Call, *, streamed: bool) -> HttpResponse:
        signature = await self._credentials.signature(call.version)
        try:
            return await self._sent(method, call, signature, streamed=streamed)
        except Failure as failure:
            if not (failure.unauthorized and await self._credentials.renew(signature)):
                raise
        signature = await self._credentials.signature(call.version)
        return await self._sent(method, call, signature, streamed=streamed)

    async def _sent(self, method: bytes, call: Call, signature: bytes, *, streamed: bool) -> HttpResponse:
        headers = call.headers(signature, self._credentials.betas)
        response = await self._ready_client().send(method, call.target, headers, call.body)
        kind = "text/event-stream" if streamed else "application/json"
        if response.status == _OK and response.headers.get("content-type", "").startswith(kind):
            return response
        try:
            raise await from_response(response)
        finally:
            await response.aclose()

    def _ready_client(self) -> HttpClient:
        """The client; made once it is known where the API is."""
        if self._client is None:
            options = self._options
            self._client = HttpClient(
                options.base_url or self._credentials.base_url or ADDRESS,
                SHARED_HEADERS + self._credentials.headers,
                timeouts=Timeouts(connect=options.connect_timeout, head=options.silence, silence=options.silence),
                limit=options.max_connections,
            )
        return self._client


def _credentials(options: AnthropicOptions) -> Credentials:
    if options.api_key:
        return Fixed("api_key", options.api_key)
    if options.auth_token:
        return Fixed("auth_token", options.auth_token)
    return SdkCredentials(options.base_url)
