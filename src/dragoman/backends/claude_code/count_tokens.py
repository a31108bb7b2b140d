"""Counting tokens. The runtime has no call for it, so the API is asked, with the key that the runtime uses.

What the runtime's own `get_context_usage` tells will not do: it counts system prompt, tools and messages apart, tools
less a fixed amount, and where the API refuses it guesses from the length without saying so.
"""

from typing import cast

import msgspec

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared.claude_errors import to_error
from dragoman.core.errors import TimedOut, UnsupportedFeature, UpstreamFailed
from dragoman.core.messages import JSONObject, as_sent

_API = "https://api.anthropic.com"
_PATH = "/v1/messages/count_tokens"
_KEY_IN_ITS_OWN_HEADER = "2023-06-01"
"""The API version in which keys are not sent as `Authorization`, and the one that the runtime speaks."""

_TIMEOUT = 60.0
_OK = 200


async def count_tokens(request: RunRequest, options: ClaudeCodeOptions) -> JSONObject:
    """Ask the API.

    Raises:
        UnsupportedFeature: There is no key: a sign-in is the runtime's alone.
        GatewayError: The API cannot be asked, or refuses.
    """
    if options.signed_in or not options.api_key:
        raise UnsupportedFeature(
            "Tokens can be counted with an API key only: Claude Code, signed in, has no call for it.",
            code="cannot_count",
        )
    status, said = await _post(
        (options.base_url or _API).rstrip("/") + _PATH,
        _headers(request, options.api_key),
        msgspec.json.encode(as_sent(request.body)),
    )
    if status != _OK:
        raise to_error(status, said.decode(errors="replace"))
    try:
        return cast("JSONObject", msgspec.json.decode(said, type=dict))
    except msgspec.MsgspecError:
        raise UpstreamFailed("Claude's count cannot be read.") from None


def _headers(request: RunRequest, key: str) -> dict[str, str]:
    version = request.request_options.version or _KEY_IN_ITS_OWN_HEADER
    headers = {"content-type": "application/json", "anthropic-version": version}
    if version == _KEY_IN_ITS_OWN_HEADER:
        headers["x-api-key"] = key
    else:
        headers["authorization"] = f"Bearer {key}"
    if request.request_options.betas:
        headers["anthropic-beta"] = ",".join(request.request_options.betas)
    return headers


async def _post(url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    import aiohttp  # noqa: PLC0415 - slow to import, and seldom wanted

    limit = aiohttp.ClientTimeout(total=_TIMEOUT)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, trust_env=True) as http,
            http.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status, await answer.read()
    except TimeoutError:
        raise TimedOut(f"Claude did not count within {_TIMEOUT:g} seconds.") from None
    except aiohttp.ClientError as error:
        raise UpstreamFailed(f"Claude cannot be reached: {type(error).__name__}.") from None
