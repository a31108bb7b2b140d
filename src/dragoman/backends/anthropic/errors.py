"""A call that failed: the error that it is for the client, and whether it is worth another try."""

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TypeAlias, cast

import msgspec

from dragoman.backends.shared.api_errors import STATUS_OF_TYPE, api_error
from dragoman.core.errors import GatewayError, NotSignedIn, QuotaExceeded, TimedOut, UpstreamFailed
from dragoman.core.messages import JSON, JSONObject
from dragoman.http.client import HttpResponse
from dragoman.http.errors import ConnectFailed, ConnectionBroken, ReadTimeout, TransportError

SIGN_IN_ADVICE = (
    "Set ANTHROPIC_API_KEY to an API key of yours and start the gateway again, or sign in with `ant auth login`, "
    "Anthropic's own tool, and install the official SDK beside the gateway: `pip install 'anthropic>=2.11'`."
)

_PASSING = frozenset({408, 409, 429})
_SERVER = 500
_UNAUTHORIZED = 401
_MOST_WORDS = 500
_MOST_BODY = 1024 * 1024

_Said: TypeAlias = tuple[str | None, str | None]


class Failure(Exception):  # noqa: N818 - named by what happened
    """A call failed.

    Attributes:
        error: What the client is told.
        reason: The API's word for it, or ours.
        passing: Whether the same call may work in a moment.
        unauthorized: Whether the key or token was refused.
        retry_after: Seconds that the API asks to wait.
    """

    def __init__(
        self, error: GatewayError, reason: str, *, passing: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.reason = reason
        self.passing = passing and not isinstance(error, QuotaExceeded)
        self.unauthorized = isinstance(error, NotSignedIn)
        self.retry_after = retry_after


async def from_response(response: HttpResponse) -> Failure:
    """The failure that an answer other than the wanted one is.

    Raises:
        TransportError: It breaks off.
    """
    kind, words = _error_in(_parsed(await response.body(_MOST_BODY)))
    status, headers = response.status, response.headers
    if status < 400:  # noqa: PLR2004 - below are no errors
        words = f"What answers at Claude's address is not Claude (status {status})."
        return Failure(UpstreamFailed(words), "not_claude")
    wait = retry_after(headers)
    error = api_error(status, _sentence(words, status), retry_after=wait, advice=SIGN_IN_ADVICE)
    passing = status in _PASSING or status >= _SERVER
    if told := headers.get("x-should-retry"):
        passing = told == "true"
    return Failure(error, kind or f"status_{status}", passing=passing, retry_after=wait)


def from_event(raw: JSONObject) -> Failure:
    """The failure that an `error` event in a stream tells of."""
    kind, words = _error_in(raw)
    status = STATUS_OF_TYPE.get(kind or "", _SERVER)
    error = api_error(status, _sentence(words, status), advice=SIGN_IN_ADVICE)
    return Failure(error, kind or "error", passing=status in _PASSING or status >= _SERVER)


def from_transport(error: TransportError, silence: float) -> Failure:
    """The failure of a connection.

    Args:
        error: How it failed.
        silence: Seconds of silence that were borne.
    """
    match error:
        case ReadTimeout():
            words = f"Claude gave no sign of life for {silence:g} seconds (--silence-timeout)."
            return Failure(TimedOut(words), "silence")
        case ConnectFailed() | ConnectionBroken():
            return Failure(_broken(error.reason), "connection_error", passing=True)
        case _:
            return Failure(_broken(error.reason), "not_http")


def unreadable() -> Failure:
    """What came is not what the API sends."""
    return Failure(UpstreamFailed("Claude's answer could not be read."), "unreadable")


def cut_off() -> Failure:
    """The stream ended too early."""
    return Failure(UpstreamFailed("Claude's answer broke off."), "cut_off", passing=True)


def _broken(words: str) -> UpstreamFailed:
    return UpstreamFailed(f"Claude could not be asked: {words}.")


def _parsed(body: bytes) -> JSON:
    try:
        return cast("JSON", msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _error_in(value: JSON) -> _Said:
    """The type and the words of an error, in the API's shape, or in those of the clouds around it."""
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error", value) if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return None, None
    kind, words = error.get("type"), error.get("message", error.get("Message"))
    return (kind if isinstance(kind, str) else None), (words if isinstance(words, str) else None)


def _sentence(words: str | None, status: int) -> str:
    """The API's words; where it gave none (a proxy's page), the status."""
    said = " ".join((words or "").split())[:_MOST_WORDS].rstrip(". ")
    return said or f"it answers with status {status}"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, out of a number of them, of milliseconds, or a date; none where there is no end to them."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif not (said := headers.get("retry-after", "")):
            return None
        else:
            seconds = float(said) if said[:1].isdigit() else parsedate_to_datetime(said).timestamp() - time.time()
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
