"""What went wrong at the API, as the runtime tells it, to our own errors.

The runtime reports a failed call as a synthetic assistant message whose text holds the API's words, and a `result` with
`is_error` and the HTTP status (`api_error_status`; none for a broken connection).
"""

import json
import re
from collections.abc import Callable
from typing import cast

from dragoman.errors import (
    ContextTooLong,
    Forbidden,
    GatewayError,
    InvalidRequest,
    NotFound,
    NotSignedIn,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    RequestTooLarge,
    TimedOut,
    UpstreamFailed,
)
from dragoman.messages import JSONObject

SIGN_IN_ADVICE = (
    "Set ANTHROPIC_API_KEY to an API key of yours and start the gateway again, or, to use the Claude Code that you are "
    "signed in to yourself, type `dragoman login` and start it with `dragoman serve --signed-in`."
)

_PROMPT_TOO_LONG = re.compile(r"prompt is too long|exceed(s|ed)? (the )?context|context window", re.IGNORECASE)
_QUOTA = re.compile(
    r"credit balance|billing|spend limit|usage limit|limit reached|extra usage|hit your limit|out of credits",
    re.IGNORECASE,
)
_NOT_SIGNED_IN = re.compile(r"not logged in|please run /login|invalid api key|oauth token", re.IGNORECASE)

_REQUEST_ENTITY_TOO_LARGE = 413
_TOO_MANY_REQUESTS = 429


def to_error(status: int | None, text: str, *, retry_after: float | None = None) -> GatewayError:
    """The error for a failed call.

    Args:
        status: The API's HTTP status, if it answered at all.
        text: What the runtime or the API said.
        retry_after: Seconds to wait, if the runtime told.
    """
    said = _api_words(text)
    if _QUOTA.search(said) or status == 402:  # noqa: PLR2004 - 402 Payment Required
        return QuotaExceeded(f"Claude says: {said} See https://platform.claude.com/settings/billing.")
    if _PROMPT_TOO_LONG.search(said):
        return ContextTooLong(said, param="messages")
    if status is None and _NOT_SIGNED_IN.search(said):
        return NotSignedIn(f"Claude Code says: {said} {SIGN_IN_ADVICE}")
    if status == _TOO_MANY_REQUESTS:
        return RateLimited(f"Claude says: {said}", retry_after=retry_after or 10)
    make = _BY_STATUS.get(status or 0)
    return make(said) if make else UpstreamFailed(f"Claude could not be asked: {said}")


_BY_STATUS: dict[int, Callable[[str], GatewayError]] = {
    400: InvalidRequest,
    401: lambda said: NotSignedIn(f"Claude refuses the key or sign-in of this gateway ({said}). {SIGN_IN_ADVICE}"),
    403: lambda said: Forbidden(f"Claude says: {said}"),
    404: lambda said: NotFound(said, code="model_not_found", param="model"),
    408: lambda said: TimedOut(f"Claude says: {said}"),
    _REQUEST_ENTITY_TOO_LARGE: RequestTooLarge,
    504: lambda said: TimedOut(f"Claude says: {said}"),
    503: lambda said: Overloaded(f"Claude says: {said}", retry_after=10),
    529: lambda said: Overloaded(f"Claude says: {said}", retry_after=10),
}


def _api_words(text: str) -> str:
    """The API's own message out of the runtime's sentence about it (`API Error: 400 {"type":"error",…}`)."""
    start = text.find("{")
    if start >= 0:
        try:
            body, _ = json.JSONDecoder().raw_decode(text[start:])
        except json.JSONDecodeError:
            body = None
        if isinstance(body, dict):
            error = cast("JSONObject", body).get("error")
            if isinstance(error, dict) and isinstance(error.get("message"), str):
                return str(error["message"])
    return text.removeprefix("API Error:").strip() or "no reason was given."
