"""From a failed API call, as the runtime reports it, to the gateway's errors.

The runtime reports a failed call as a synthetic assistant message whose text holds the API's words, and a `result` with
`is_error` and the HTTP status (`api_error_status`; null for a broken connection).
"""

import json
import re
from collections.abc import Mapping

from dragoman.backends.shared.api_errors import SIGN_IN_ADVICE, api_error, api_words_too_long, too_long
from dragoman.core.errors import ContextTooLong, GatewayError, NotSignedIn, QuotaExceeded
from dragoman.core.messages import JSONObject

_SIGN_IN_EXPIRED = (
    "The Claude Code sign-in that this gateway uses has expired, or does not exist. Type `dragoman login`; the gateway "
    "then continues without a restart."
)
_VARIABLE_REFUSED = (
    "Claude refuses the token in CLAUDE_CODE_OAUTH_TOKEN. `claude setup-token` makes a new one; start the gateway "
    "again with it."
)

_NOT_SIGNED_IN = re.compile(r"not logged in|please run /login|invalid api key|oauth token", re.IGNORECASE)
_API_BODY = re.compile(r"\{.*\}", re.DOTALL)
_PREFIX = re.compile(r"^(Failed to authenticate\. )?(API Error: )?(Request rejected \(\d+\) · )?(\d{3} )?")
_TERMINAL_ADVICE = re.compile(
    r"[\s·]*(This is a server-side issue|Check the gateway set|Run --model|Fix external|Please run /login"
    r"|and this conversation's own content).*$",
    re.DOTALL,
)


def to_error(status: int | None, text: str, *, retry_after: float | None = None) -> GatewayError:
    """Return the error for a failed call.

    Args:
        status: The API's HTTP status; None if the API did not respond.
        text: The runtime's text about the failure.
        retry_after: Seconds to wait, if the runtime reported them.
    """
    reason = _api_words(text)
    error = api_error(status, reason, retry_after=retry_after, words=_own_words(text) or reason)
    if isinstance(error, ContextTooLong):
        # Only the figures: the rest of the runtime's text may be advice for people in its own terminal.
        words = _own_words(text) or api_words_too_long(text)
        return ContextTooLong(too_long(text), param="messages").with_upstream_message(words)
    if status is None and not isinstance(error, QuotaExceeded) and _NOT_SIGNED_IN.search(reason):
        return NotSignedIn(f"Claude Code says: {reason}. {SIGN_IN_ADVICE}")
    return error


def result_error(frame: JSONObject, failure: str, *, retry_after: float | None = None) -> GatewayError:
    """Return the error for a turn that ended with a `result` but without a response.

    Args:
        frame: The `result`.
        failure: The text of the synthetic message before it; empty if there was no such message.
        retry_after: Seconds to wait, if the runtime reported them.
    """
    text = failure or str(frame.get("result") or frame.get("terminal_reason") or "it gave no answer.")
    if frame.get("terminal_reason") == "blocking_limit":
        text = "prompt is too long"
    status = frame.get("api_error_status")
    return to_error(status if isinstance(status, int) else None, text, retry_after=retry_after)


def sign_in_refused(environment: Mapping[str, str]) -> str:
    """Return the text for an operator whose sign-in is refused.

    Args:
        environment: The environment of the runtime's processes. A token in it cannot change while the gateway runs.
    """
    return _VARIABLE_REFUSED if environment.get("CLAUDE_CODE_OAUTH_TOKEN") else _SIGN_IN_EXPIRED


def _api_words(text: str) -> str:
    """Return the API's own words, without what the runtime adds around them."""
    reason = _API_BODY.sub(lambda match: _message_in(match[0]), text, count=1)
    return _TERMINAL_ADVICE.sub("", _PREFIX.sub("", reason)).strip().rstrip(".") or "no reason was given"


def _own_words(text: str) -> str | None:
    """Return the API's message, unchanged, if the runtime passes on the whole response."""
    body = _API_BODY.search(text)
    message = _message_in(body[0]) if body else None
    return message if body and message != body[0] else None


def _message_in(body: str) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body
