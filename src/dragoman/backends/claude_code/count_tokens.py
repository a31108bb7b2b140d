"""Counting the tokens of a prompt. The runtime has no request for it, so the API is called with the runtime's key.

The runtime's `get_context_usage` is no substitute: it counts system prompt, tools and messages apart, subtracts a fixed
amount from the tools, and guesses from the length when the API refuses, without saying so.
"""

from typing import cast

import msgspec

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared.runtime_errors import to_error
from dragoman.core.errors import TimedOut, UnsupportedFeature, UpstreamFailed
from dragoman.core.known_message import as_sent
from dragoman.core.messages import JSONObject
from dragoman.http.client import HttpClient, Timeouts
from dragoman.http.errors import ReadTimeout, TransportError

_DEFAULT_BASE_URL = "https://api.anthropic.com"
_TARGET = b"/v1/messages/count_tokens"
_KEY_HEADER_VERSION = "2023-06-01"
"""The API version in which the key has a header of its own, not `Authorization`. The runtime uses it."""

_TIMEOUT = 60.0
_MAX_RESPONSE_BYTES = 1024 * 1024
_OK = 200


class TokenCounter:
    """Counts tokens through the API. Owns its connections."""

    def __init__(self, options: ClaudeCodeOptions) -> None:
        self._options = options
        self._client: HttpClient | None = None

    async def count(self, request: RunRequest) -> JSONObject:
        """Return the API's own count of a request's tokens.

        Raises:
            UnsupportedFeature: There is no API key. Only the runtime may use a sign-in.
            GatewayError: The API cannot be reached, or refuses.
        """
        if self._options.signed_in or not self._options.api_key:
            raise UnsupportedFeature(
                "Tokens can be counted with an API key only: Claude Code, signed in, has no request for it.",
                code="cannot_count",
            )
        body = msgspec.json.encode(as_sent(request.body))
        try:
            status, text = await self._post(_headers(request, self._options.api_key), body)
        except ReadTimeout:
            raise TimedOut(f"Claude did not count within {_TIMEOUT:g} seconds.") from None
        except TransportError as error:
            raise UpstreamFailed(f"Claude cannot be reached: {error.reason}.") from None
        if status != _OK:
            raise to_error(status, text.decode(errors="replace"))
        try:
            return cast("JSONObject", msgspec.json.decode(text, type=dict))
        except msgspec.MsgspecError:
            raise UpstreamFailed("Claude's count cannot be read.") from None

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        if self._client is not None:
            await self._client.aclose()

    async def _post(self, headers: bytes, body: bytes) -> tuple[int, bytes]:
        if self._client is None:
            timeouts = Timeouts(head=_TIMEOUT, silence=_TIMEOUT)
            self._client = HttpClient(self._options.base_url or _DEFAULT_BASE_URL, timeouts=timeouts)
        response = await self._client.send(b"POST", _TARGET, headers, body)
        try:
            return response.status, await response.body(_MAX_RESPONSE_BYTES)
        finally:
            await response.aclose()


def _headers(request: RunRequest, key: str) -> bytes:
    version = request.request_options.version or _KEY_HEADER_VERSION
    credential = f"x-api-key: {key}" if version == _KEY_HEADER_VERSION else f"authorization: Bearer {key}"
    lines = ["content-type: application/json", f"anthropic-version: {version}", credential]
    if request.request_options.betas:
        lines.append(f"anthropic-beta: {','.join(request.request_options.betas)}")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1", "replace")
