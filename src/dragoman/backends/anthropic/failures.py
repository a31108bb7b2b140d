"""A failed call: the error for the client, and whether and when the call may be repeated."""

import math
import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import cast

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

_TRANSIENT_STATUSES = frozenset({408, 409, 429})
_MIN_ERROR_STATUS = 400
_MIN_SERVER_ERROR = 500
_MAX_REASON_CHARACTERS = 500
_MAX_BODY_BYTES = 1024 * 1024

_MAX_RETRY_AFTER = 60.0
"""Seconds. A client that would have to wait longer gets the error at once."""
_MAX_BACKOFF = 8.0


class Failure(Exception):  # noqa: N818 - named by what happened
    """A call failed.

    Attributes:
        error: The error for the client.
        reason: The API's type of the error, or a word of the gateway's own.
        is_transient: Whether the same call may succeed soon.
        is_unauthorized: Whether new credentials may help.
        retry_after: Seconds that the API asks to wait.
    """

    def __init__(
        self,
        error: GatewayError,
        reason: str,
        *,
        is_transient: bool = False,
        is_unauthorized: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.reason = reason
        self.is_transient = is_transient and not isinstance(error, QuotaExceeded)
        self.is_unauthorized = isinstance(error, NotSignedIn) if is_unauthorized is None else is_unauthorized
        self.retry_after = retry_after


class Retries:
    """The failed attempts of one call.

    Args:
        max_retries: The maximum number of attempts after the first.
        backoff: Seconds before the first of them, doubled each time. Up to a quarter is subtracted at random, so that
            clients that failed together do not return together.

    Attributes:
        failed_attempts: The number of failed attempts.
    """

    def __init__(self, max_retries: int, backoff: float) -> None:
        self.failed_attempts = 0
        self._max_retries = max_retries
        self._backoff = backoff

    def delay_after(self, failure: Failure, *, has_emitted: bool = False) -> float:
        """Count a failed attempt, and return the seconds until the next one.

        Args:
            failure: The failure.
            has_emitted: Whether a part of the response was emitted, which must not be repeated.

        Raises:
            GatewayError: There is no further attempt.
        """
        self.failed_attempts += 1
        may_repeat = failure.is_transient and not has_emitted and self.failed_attempts <= self._max_retries
        if not may_repeat or (failure.retry_after or 0.0) > _MAX_RETRY_AFTER:
            raise failure.error from None
        if failure.retry_after is not None:
            return failure.retry_after
        backoff: float = min(self._backoff * 2.0 ** (self.failed_attempts - 1), _MAX_BACKOFF)
        return backoff * (1 - random.random() / 4)  # noqa: S311 - not a secret


async def response_failure(response: HttpResponse) -> Failure:
    """Read the response to a failed call, and return the failure.

    Raises:
        TransportError: The response is not complete.
    """
    kind, message = _error_fields(_decode(await response.body(_MAX_BODY_BYTES)))
    status, headers = response.status, response.headers
    if status < _MIN_ERROR_STATUS:
        return Failure(UpstreamFailed(f"The server at Claude's address is not Claude (status {status})."), "not_claude")
    seconds = retry_after(headers)
    error = api_error(status, _reason(message, status), retry_after=seconds, advice=SIGN_IN_ADVICE, words=message)
    is_transient = _is_transient(status)
    if should_retry := headers.get("x-should-retry"):
        is_transient = should_retry == "true"
    return Failure(error, kind or f"status_{status}", is_transient=is_transient, retry_after=seconds)


def event_failure(event: JSONObject) -> Failure:
    """Return the failure that an `error` event in a stream reports."""
    kind, message = _error_fields(event)
    status = STATUS_OF_TYPE.get(kind or "", _MIN_SERVER_ERROR)
    error = api_error(status, _reason(message, status), advice=SIGN_IN_ADVICE, words=message)
    return Failure(error, kind or "error", is_transient=_is_transient(status))


def transport_failure(error: TransportError, silence: float) -> Failure:
    """Return the failure of a connection.

    Args:
        error: The error of the HTTP client.
        silence: The limit in seconds for a silent connection.
    """
    match error:
        case ReadTimeout():
            message = f"Claude gave no sign of life for {silence:g} seconds (--silence-timeout)."
            return Failure(TimedOut(message), "silence")
        case ConnectFailed() | ConnectionBroken():
            return Failure(api_error(None, error.reason), "connection_error", is_transient=True)
        case _:
            return Failure(api_error(None, error.reason), "not_http")


def unreadable_failure(error: UpstreamFailed | None = None) -> Failure:
    """Return the failure for a response that the API would not send."""
    return Failure(error or UpstreamFailed("Claude's response could not be read."), "unreadable")


def cut_off_failure() -> Failure:
    """Return the failure for a stream that ended too early."""
    return Failure(UpstreamFailed("Claude's response broke off."), "cut_off", is_transient=True)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait: a number of seconds or milliseconds, or a date. None if there is no valid value."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif not (value := headers.get("retry-after", "")):
            return None
        else:
            seconds = float(value) if value[:1].isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _is_transient(status: int) -> bool:
    return status in _TRANSIENT_STATUSES or status >= _MIN_SERVER_ERROR


def _decode(body: bytes) -> JSON:
    try:
        return cast("JSON", msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _error_fields(value: JSON) -> tuple[str | None, str | None]:
    """Return the type and the message of an error, in the API's form or in those of the clouds."""
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error", value) if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return None, None
    kind, message = error.get("type"), error.get("message", error.get("Message"))
    return (kind if isinstance(kind, str) else None), (message if isinstance(message, str) else None)


def _reason(message: str | None, status: int) -> str:
    """Return the API's message as one line. A response without one, such as a proxy's page, has only a status."""
    line = " ".join((message or "").split())[:_MAX_REASON_CHARACTERS].rstrip(". ")
    return line or f"it returned status {status}"
