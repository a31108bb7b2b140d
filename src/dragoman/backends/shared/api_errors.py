"""From the Messages API's errors to the gateway's own, for every backend.

Source: https://platform.claude.com/docs/en/api/errors
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

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
"""The HTTP status of each error type of the API. An `error` event in a stream has no status of its own."""

_DEFAULT_RETRY_AFTER = 10.0
"""Seconds to wait if the API does not report any."""

_PROMPT_TOO_LONG = re.compile(r"prompt is too long|exceed(s|ed)? (the )?context|context window", re.IGNORECASE)
_QUOTA = re.compile(
    r"credit balance|billing|spend limit|usage limit|limit reached|extra usage|hit your limit|out of credits",
    re.IGNORECASE,
)
_FIELD_PREFIX = re.compile(r"[a-z_]+(\.\w+)*: ")
"""How the API's text begins if it refuses a field of the request. The rest may quote the client's own names."""
_TOKEN_FIGURES = re.compile(r"~?(?P<actual>\d[\d,]*) tokens (\(limit |> )(?P<maximum>\d[\d,]*)")
_SUM_FIGURES = re.compile(r"(?P<sum>\d[\d,]* \+ \d[\d,]*) > (?P<maximum>\d[\d,]*)")
"""The figures of a prompt that does not fit together with `max_tokens`."""
_MAX_WORDS = 2000

_PAYMENT_REQUIRED = 402

_Create: TypeAlias = Callable[[str, float | None, str], GatewayError]

_ERROR_OF_STATUS: Mapping[int, _Create] = MappingProxyType(
    {
        400: lambda reason, _, __: InvalidRequest(f"{reason}."),
        401: lambda _, __, advice: NotSignedIn(f"Claude refuses the API key or sign-in of this gateway. {advice}"),
        403: lambda reason, _, __: Forbidden(f"Claude says: {reason}."),
        404: lambda reason, _, __: NotFound(f"{reason}.", code="model_not_found", param="model"),
        408: lambda reason, _, __: TimedOut(f"Claude says: {reason}."),
        413: lambda reason, _, __: RequestTooLarge(f"{reason}."),
        422: lambda reason, _, __: InvalidRequest(f"{reason}."),
        429: lambda reason, wait, _: RateLimited(f"Claude says: {reason}.", retry_after=wait or _DEFAULT_RETRY_AFTER),
        503: lambda reason, wait, _: Overloaded(f"Claude says: {reason}.", retry_after=wait or _DEFAULT_RETRY_AFTER),
        504: lambda reason, _, __: TimedOut(f"Claude says: {reason}."),
        529: lambda reason, wait, _: Overloaded(f"Claude says: {reason}.", retry_after=wait or _DEFAULT_RETRY_AFTER),
    }
)
"""The error for each HTTP status, from the API's text, the seconds to wait, and the advice on a sign-in."""


def api_error(
    status: int | None,
    reason: str,
    *,
    retry_after: float | None = None,
    advice: str = SIGN_IN_ADVICE,
    words: str | None = None,
) -> GatewayError:
    """Return the error for a failed call.

    Args:
        status: The API's HTTP status; None if the API did not respond.
        reason: The API's text, as one sentence without its full stop.
        retry_after: Seconds to wait, if the API reported them.
        advice: What to do if the key or sign-in is refused.
        words: The API's text, unchanged. Clients of the Messages API get it, except about the gateway's own account.
    """
    if status == _PAYMENT_REQUIRED or (_QUOTA.search(reason) and not _FIELD_PREFIX.match(reason)):
        return QuotaExceeded(f"Claude says: {reason}. Look at https://platform.claude.com/settings/billing.")
    if _PROMPT_TOO_LONG.search(reason):
        error: GatewayError = ContextTooLong(too_long(reason), param="messages")
    elif (create := _ERROR_OF_STATUS.get(status or 0)) is not None:
        error = create(reason, retry_after, advice)
    else:
        error = UpstreamFailed(f"The call to Claude failed: {reason}.")
    return error if isinstance(error, NotSignedIn) or not words else error.with_upstream_message(words[:_MAX_WORDS])


def too_long(text: str) -> str:
    """Return a sentence about a prompt that is too long, with the numbers of tokens if the text has them.

    OpenAI's clients look for "maximum context length" in it.
    """
    if figures := _TOKEN_FIGURES.search(text):
        actual, maximum = figures["actual"], figures["maximum"]
        return f"The prompt is too long: {actual} tokens, and the maximum context length is {maximum} tokens."
    if figures := _SUM_FIGURES.search(text):
        total, maximum = figures["sum"], figures["maximum"]
        return (
            f"The prompt and `max_tokens` are too long together: {total} tokens, and the maximum context length is "
            f"{maximum} tokens."
        )
    return "The prompt is too long: it exceeds the maximum context length of this model."


def api_words_too_long(text: str) -> str:
    """Return the API's own words about a prompt that is too long, as far as a text of the runtime has them."""
    if figures := _TOKEN_FIGURES.search(text):
        return f"prompt is too long: {figures['actual']} tokens > {figures['maximum']} maximum"
    if figures := _SUM_FIGURES.search(text):
        return f"input length and `max_tokens` exceed context limit: {figures['sum']} > {figures['maximum']}"
    return "prompt is too long"


def refuse_agent(request_options: RequestOptions) -> None:
    """Refuse a request for an agent, for a backend without agents.

    Raises:
        Forbidden: The request is for an agent.
    """
    if request_options.agent is not None:
        raise Forbidden(
            "Agents are off. The gateway's owner turns them on by `--backend runtime --allow-dir DIR`.",
            code="agents_off",
            param="claude",
        )
