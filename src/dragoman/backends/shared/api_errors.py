"""What the Messages API answers when it refuses, to our own errors; for every backend alike.

Source: https://platform.claude.com/docs/en/api/errors
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from dragoman.core.errors import (
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
from dragoman.core.messages import RequestOptions

SIGN_IN_ADVICE = (
    "Set ANTHROPIC_API_KEY to an API key of yours and start the gateway again, or, to use the Claude Code that you are "
    "signed in to yourself, type `dragoman login` and start it with `dragoman serve --signed-in`."
)

STATUS_OF_TYPE: Mapping[str, int] = MappingProxyType(
    {
        "invalid_request_error": 400,
        "authentication_error": 401,
        "billing_error": 402,
        "permission_error": 403,
        "not_found_error": 404,
        "conflict_error": 409,
        "request_too_large": 413,
        "rate_limit_error": 429,
        "api_error": 500,
        "timeout_error": 504,
        "overloaded_error": 529,
    }
)
"""The HTTP status of each of the API's error types: an `error` event in a stream has no status of its own."""

_PROMPT_TOO_LONG = re.compile(r"prompt is too long|exceed(s|ed)? (the )?context|context window", re.IGNORECASE)
_QUOTA = re.compile(
    r"credit balance|billing|spend limit|usage limit|limit reached|extra usage|hit your limit|out of credits",
    re.IGNORECASE,
)
_OF_A_FIELD = re.compile(r"[a-z_]+(\.\w+)*: ")
"""How the API begins where it refuses a part of the request; what follows may quote names of the client's own."""
_FIGURES = re.compile(r"~?(?P<has>\d[\d,]*) tokens (\(limit |> )(?P<takes>\d[\d,]*)")

_PAYMENT_REQUIRED = 402
_UNAUTHORIZED = 401
_TOO_MANY_REQUESTS = 429
_PATIENCE = 10.0
"""Seconds to wait where the API does not say."""


def api_error(
    status: int | None, said: str, *, retry_after: float | None = None, advice: str = SIGN_IN_ADVICE
) -> GatewayError:
    """The error for a refused call.

    Args:
        status: The API's HTTP status, if it answered at all.
        said: What it said, in one sentence without its full stop.
        retry_after: Seconds to wait, if the API told.
        advice: What to do where the key or sign-in is refused.
    """
    if status == _PAYMENT_REQUIRED or (_QUOTA.search(said) and not _OF_A_FIELD.match(said)):
        return QuotaExceeded(f"Claude says: {said}. Look at https://platform.claude.com/settings/billing.")
    if _PROMPT_TOO_LONG.search(said):
        return ContextTooLong(too_long(said), param="messages")
    if status == _UNAUTHORIZED:
        return NotSignedIn(f"Claude refuses the API key or sign-in of this gateway. {advice}")
    if status == _TOO_MANY_REQUESTS:
        return RateLimited(f"Claude says: {said}.", retry_after=retry_after or _PATIENCE)
    make = _BY_STATUS.get(status or 0)
    error = make(said) if make else UpstreamFailed(f"Claude could not be asked: {said}.")
    if isinstance(error, Overloaded) and retry_after:
        return error.replace(retry_after=retry_after)
    return error


_BY_STATUS: Mapping[int, Callable[[str], GatewayError]] = MappingProxyType(
    {
        400: lambda said: InvalidRequest(f"{said}."),
        403: lambda said: Forbidden(f"Claude says: {said}."),
        404: lambda said: NotFound(f"{said}.", code="model_not_found", param="model"),
        408: lambda said: TimedOut(f"Claude says: {said}."),
        413: lambda said: RequestTooLarge(f"{said}."),
        422: lambda said: InvalidRequest(f"{said}."),
        503: lambda said: Overloaded(f"Claude says: {said}.", retry_after=_PATIENCE),
        504: lambda said: TimedOut(f"Claude says: {said}."),
        529: lambda said: Overloaded(f"Claude says: {said}.", retry_after=_PATIENCE),
    }
)


def too_long(text: str) -> str:
    """A sentence about a prompt that does not fit, with the figures of the text if it has any."""
    figures = _FIGURES.search(text)
    how_long = f": {figures['has']} tokens, and {figures['takes']} are the most" if figures else " for this model"
    return f"The prompt is too long{how_long}."


def refuse_agent(request_options: RequestOptions) -> None:
    """Refuse an agent, at a backend that has none.

    Raises:
        Forbidden: One is asked for.
    """
    if request_options.agent is not None:
        raise Forbidden(
            "Agents are off. The gateway's owner turns them on by `--backend runtime --allow-dir DIR`.",
            code="agents_off",
            param="claude",
        )
