"""What went wrong at the API, as the runtime tells it, to our own errors.

The runtime reports a failed call as a synthetic assistant message whose text holds the API's words, and a `result` with
`is_error` and the HTTP status (`api_error_status`; none for a broken connection).
"""

import json
import re
from collections.abc import Mapping

from dragoman.backends.shared.api_errors import SIGN_IN_ADVICE, api_error, too_long
from dragoman.core.errors import ContextTooLong, GatewayError, NotSignedIn, QuotaExceeded
from dragoman.core.messages import JSONObject

_EXPIRED = (
    "The Claude Code sign-in that this gateway uses has expired, or there is none. Type `dragoman login`; the gateway "
    "goes on by itself then."
)
_VARIABLE_REFUSED = (
    "Claude refuses the token in CLAUDE_CODE_OAUTH_TOKEN. `claude setup-token` makes a new one; start the gateway "
    "again with it."
)

_NOT_SIGNED_IN = re.compile(r"not logged in|please run /login|invalid api key|oauth token", re.IGNORECASE)

_API_BODY = re.compile(r"\{.*\}", re.DOTALL)
_FRAME = re.compile(r"^(Failed to authenticate\. )?(API Error: )?(Request rejected \(\d+\) · )?(\d{3} )?")
_ADVICE = re.compile(
    r"[\s·]*(This is a server-side issue|Check the gateway set|Run --model|Fix external|Please run /login"
    r"|and this conversation's own content).*$",
    re.DOTALL,
)


def to_error(status: int | None, text: str, *, retry_after: float | None = None) -> GatewayError:
    """The error for a failed call.

    Args:
        status: The API's HTTP status, if it answered at all.
        text: What the runtime said of it.
        retry_after: Seconds to wait, if the runtime told.
    """
    said = _words(text)
    error = api_error(status, said, retry_after=retry_after)
    if isinstance(error, ContextTooLong):
        # The figures alone: what else the runtime says is advice for people in its own terminal.
        return ContextTooLong(too_long(text), param="messages")
    if status is None and not isinstance(error, QuotaExceeded) and _NOT_SIGNED_IN.search(said):
        return NotSignedIn(f"Claude Code says: {said}. {SIGN_IN_ADVICE}")
    return error


def result_error(frame: JSONObject, failure: str, *, retry_after: float | None = None) -> GatewayError:
    """The error for a turn that ended with a `result` and no answer.

    Args:
        frame: The `result`.
        failure: The text of the synthetic message before it, if there was one.
        retry_after: Seconds to wait, if the runtime told.
    """
    said = failure or str(frame.get("result") or frame.get("terminal_reason") or "it gave no answer.")
    if frame.get("terminal_reason") == "blocking_limit":
        said = "prompt is too long"
    status = frame.get("api_error_status")
    return to_error(status if isinstance(status, int) else None, said, retry_after=retry_after)


def refused_words(environment: Mapping[str, str]) -> str:
    """What the owner is told whose sign-in is refused.

    Args:
        environment: That of the runtime's processes: what comes in it cannot change while the gateway runs.
    """
    return _VARIABLE_REFUSED if environment.get("CLAUDE_CODE_OAUTH_TOKEN") else _EXPIRED


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
