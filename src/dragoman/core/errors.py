"""Errors by cause. Each dialect maps every cause to a status and a body of its own.

GatewayError
├── InvalidRequest            the client's request is invalid or cannot be served
│   ├── UnsupportedFeature    valid, but not supported
│   └── ContextTooLong        the prompt does not fit the model
├── Unauthenticated           no gateway key, or a wrong one
├── Forbidden                 this caller may not do this (key, host or origin)
├── NotFound                  no such path, model or run
├── Conflict                  the request contradicts the current state
├── KeyReused                 an `Idempotency-Key` was sent with another request before
├── RequestTooLarge           the body is over the size limit
├── RequestTimeout            the client did not send its request in time
├── UnsupportedContentEncoding  the body has a coding that the gateway does not know
├── NotSignedIn               Claude refuses our key or sign-in, or there is none
├── QuotaExceeded             billing, plan or spend limit at Claude
├── RateLimited               too many requests, here or at Claude
│   └── QueueFull             all slots are taken and the queue is full
├── Overloaded                Claude is overloaded
├── UpstreamFailed            Claude, or the process in between, failed
├── TimedOut                  Claude was silent, or the run took too long
├── RunCancelled              the gateway's operator cancelled the run
├── ShuttingDown              this gateway is stopping
├── NotInstalled              an optional part of the gateway is needed and not installed
├── StoreFailed               stored data cannot be read or written
└── InternalError             a bug of the gateway
"""

import re
from collections.abc import Callable
from typing import ClassVar, Self

# ruff: noqa: N818 - a cause is named by what happened; "Error" at the end of each name would add nothing


MAX_ECHO = 200
"""Characters of a client's text that an error repeats."""
_MAX_MESSAGE = 1500
_MAX_LOGGED_WORDS = 300
_QUOTE = re.compile(r"""`(?P<name>[^`]*)(?:`|$)|"[^"]*(?:"|$)|(?<!\w)'[^']*(?:'(?!\w)|$)""")
_NAME = re.compile(r"[\w./:@*\[\]-]{1,100}", re.ASCII)
_LONG_QUOTE = re.compile(rf"`([^`]{{{MAX_ECHO}}})[^`]+`")


class GatewayError(Exception):
    """A failure with a message for the client.

    What the message quotes in backticks is shortened to `MAX_ECHO` characters: it may be a client's text of any length.

    Immutable: several clients may wait for one run and receive the same error object. `replace` and `with_request_id`
    return changed copies.

    Attributes:
        message: A sentence for the client. Contains no path, key or traceback.
        code: A short machine-readable word, stable between versions.
        param: The invalid request field, if there is one (`messages[2].content`).
        retry_after: Seconds after which a retry makes sense, if known.
        request_id: The id of the request that the error answers; None until the server adds it.
        upstream_message: The API's own words, if they caused the error. Clients of the Messages API parse them.
    """

    default_code: ClassVar[str | None] = None

    message: str
    code: str | None
    param: str | None
    retry_after: float | None
    request_id: str | None
    upstream_message: str | None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        message = shorten(_LONG_QUOTE.sub(r"`\1…`", message), _MAX_MESSAGE)
        super().__init__(message)
        self.__dict__.update(
            message=message,
            code=code if code is not None else self.default_code,
            param=None if param is None else shorten(param, MAX_ECHO),
            retry_after=retry_after,
            request_id=None,
            upstream_message=None,
        )

    def __setattr__(self, name: str, value: object) -> None:
        # The interpreter and `contextlib` set `__traceback__` and the like.
        if not name.startswith("__"):
            raise AttributeError(f"A {type(self).__name__} is immutable: use `replace`.")
        super().__setattr__(name, value)

    def replace(self, *, retry_after: float | None) -> Self:
        """Return a copy with another `retry_after`."""
        return self._copy(retry_after=retry_after)

    def with_request_id(self, request_id: str) -> Self:
        """Return a copy with the id of the request that it answers."""
        return self._copy(request_id=request_id)

    def with_upstream_message(self, message: str | None) -> Self:
        """Return a copy with the API's own words."""
        return self._copy(upstream_message=message)

    def redacted(self, redact: Callable[[str], str]) -> Self:
        """Return a copy with every text changed by a function that removes secrets; itself if nothing changes."""
        texts = {name: getattr(self, name) for name in ("message", "param", "upstream_message")}
        changes = {name: redact(text) for name, text in texts.items() if text and redact(text) != text}
        return self._copy(**changes) if changes else self

    def _copy(self, **changes: object) -> Self:
        copy = type(self).__new__(type(self), changes.get("message", self.message))
        copy.__dict__.update(self.__dict__ | changes)
        copy.__cause__, copy.__context__ = self.__cause__, self.__context__
        copy.__suppress_context__ = self.__suppress_context__
        return copy.with_traceback(self.__traceback__)


def facts_of(error: GatewayError | None) -> dict[str, str | None]:
    """Return the code, the field and the message of an error for a log that must not contain what people wrote.

    A quoted text becomes `…`, unless it is a single name in backticks: a field, a header, a model.
    """
    if error is None:
        return {}

    def quoted(found: re.Match[str]) -> str:
        return found[0] if _NAME.fullmatch(found["name"] or "") else "…"

    param = error.param if error.param is None or _NAME.fullmatch(error.param) else "…"
    message = shorten(_QUOTE.sub(quoted, error.message), _MAX_LOGGED_WORDS)
    return {"error": error.code, "param": param, "message": message}


def shorten(text: str, length: int = MAX_ECHO) -> str:
    """Return a text, or its beginning and an ellipsis if it is longer."""
    return text if len(text) <= length else f"{text[:length]}…"


class InvalidRequest(GatewayError):
    """The client's request is invalid or cannot be served."""

    default_code = "invalid_value"


class UnsupportedFeature(InvalidRequest):
    """The request is valid, but asks for something that is not supported."""

    default_code = "unsupported_parameter"


class ContextTooLong(InvalidRequest):
    """The prompt does not fit the model. Agents compact the conversation when they see its code."""

    default_code = "context_length_exceeded"


class Unauthenticated(GatewayError):
    """No gateway key was sent, or a wrong one."""

    default_code = "invalid_api_key"


class Forbidden(GatewayError):
    """This caller may not do this."""

    default_code = "permission_denied"


class NotFound(GatewayError):
    """There is no such path, model or run."""

    default_code = "not_found"


class Conflict(GatewayError):
    """The request contradicts the current state."""

    default_code = "conflict"


class KeyReused(GatewayError):
    """An `Idempotency-Key` was sent with another request before."""

    default_code = "idempotency_key_reused"


class RequestTooLarge(GatewayError):
    """The request body is over the size limit."""

    default_code = "request_too_large"


class RequestTimeout(GatewayError):
    """The client did not send the whole request in time."""

    default_code = "request_timeout"


class UnsupportedContentEncoding(GatewayError):
    """The request body has a content coding that the gateway does not know."""

    default_code = "unsupported_content_encoding"


class NotSignedIn(GatewayError):
    """Claude refuses the gateway's key or sign-in, or the gateway has none."""

    default_code = "not_signed_in"


class QuotaExceeded(GatewayError):
    """A billing, plan or spend limit at Claude."""

    default_code = "insufficient_quota"


class RateLimited(GatewayError):
    """Too many requests, here or at Claude."""

    default_code = "rate_limit_exceeded"


class QueueFull(RateLimited):
    """All slots are taken and the queue is full."""

    default_code = "queue_full"


class Overloaded(GatewayError):
    """Claude is overloaded."""

    default_code = "overloaded"


class UpstreamFailed(GatewayError):
    """Claude, or the process between Claude and the gateway, failed."""

    default_code = "upstream_error"


class TimedOut(GatewayError):
    """Claude was silent for too long, or the run took too long."""

    default_code = "timeout"


class RunCancelled(GatewayError):
    """The gateway's operator cancelled the run."""

    default_code = "run_cancelled"


class ShuttingDown(GatewayError):
    """This gateway is stopping and accepts no new requests."""

    default_code = "shutting_down"


class NotInstalled(GatewayError):
    """An optional part of the gateway is not installed. The message contains the command that installs it."""

    default_code = "not_installed"


class StoreFailed(GatewayError):
    """Stored data cannot be read or written. The log has the reason."""

    default_code = "store_failed"


class InternalError(GatewayError):
    """A bug of the gateway. The log has the details, under the request id."""

    default_code = "internal_error"
