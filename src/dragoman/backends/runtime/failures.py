"""What went wrong at the API, as the runtime tells it, to our own errors.

The runtime reports a failed call as a synthetic assistant message whose text holds the API's words, and a `result` with
`is_error` and the HTTP status (`api_error_status`; none for a broken connection).
"""

import json
import re
from collections.abc import Callable

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

_API_BODY = re.compile(r"\{.*\}", re.DOTALL)
_FRAME = re.compile(r"^(Failed to authenticate\. )?(API Error: )?(Request rejected \(\d+\) · )?(\d{3} )?")
_ADVICE = re.compile(
    r"[\s·]*(This is a server-side issue|Check the gateway set|Run --model|Fix external|Please run /login"
    r"|and this conversation's own content).*$",
    re.DOTALL,
)

_FIGURES = re.compile(r"~?(?P<has>\d[\d,]*) tokens (\(limit |> )(?P<takes>\d[\d,]*)")

_PAYMENT_REQUIRED = 402
_TOO_MANY_REQUESTS = 429
_PATIENCE = 10.0
"""Seconds to wait where the API does not say."""


def to_error(status: int | None, text: str, *, retry_after: float | None = None) -> GatewayError:
    """The error for a failed call.

    Args:
        status: The API's HTTP status, if it answered at all.
        text: What the runtime said of it.
        retry_after: Seconds to wait, if the runtime told.
    """
    said = _words(text)
    if _QUOTA.search(said) or status == _PAYMENT_REQUIRED:
        return QuotaExceeded(f"Claude says: {said}. Look at https://platform.claude.com/settings/billing.")
    if _PROMPT_TOO_LONG.search(said):
        return ContextTooLong(_too_long(text), param="messages")
    if status is None and _NOT_SIGNED_IN.search(said):
        return NotSignedIn(f"Claude Code says: {said}. {SIGN_IN_ADVICE}")
    if status == _TOO_MANY_REQUESTS:
        return RateLimited(f"Claude says: {said}.", retry_after=retry_after or _PATIENCE)
    make = _BY_STATUS.get(status or 0)
    return make(said) if make else UpstreamFailed(f"Claude could not be asked: {said}.")


_BY_STATUS: dict[int, Callable[[str], GatewayError]] = {
    400: lambda said: InvalidRequest(f"{said}."),
    401: lambda _: NotSignedIn(f"Claude refuses the API key or sign-in of this gateway. {SIGN_IN_ADVICE}"),
    403: lambda said: Forbidden(f"Claude says: {said}."),
    404: lambda said: NotFound(f"{said}.", code="model_not_found", param="model"),
    408: lambda said: TimedOut(f"Claude says: {said}."),
    413: lambda said: RequestTooLarge(f"{said}."),
    503: lambda said: Overloaded(f"Claude says: {said}.", retry_after=_PATIENCE),
    504: lambda said: TimedOut(f"Claude says: {said}."),
    529: lambda said: Overloaded(f"Claude says: {said}.", retry_after=_PATIENCE),
}


def _too_long(text: str) -> str:
    """The figures alone: what else the runtime says is advice for people in its own terminal."""
    figures = _FIGURES.search(text)
    how_long = f": {figures['has']} tokens, and {figures['takes']} are the most" if figures else " for this model"
    return f"The prompt is too long{how_long}."


def _words(text: str) -> str:
    """What the API said, without the frame that the runtime puts around it and its advice for people at a terminal."""
    said = _API_BODY.sub(lambda found: _message_of(found[0]), text, count=1)
    return _ADVICE.sub("", _FRAME.sub("", said)).strip().rstrip(".") or "no reason was given"


def _message_of(body: str) -> str:
    try:
        error = json.loads(body)["error"]
        return str(error["message"])
    except (ValueError, KeyError, TypeError):
        return body
