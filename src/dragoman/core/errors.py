"""What can go wrong, by cause. No HTTP status is known here: each dialect gives every cause its own body.

GatewayError
├── InvalidRequest            the client's request cannot be understood or served
│   ├── UnsupportedFeature    understood, but not to be had here
│   └── ContextTooLong        the prompt does not fit the model
├── Unauthenticated           no gateway key, or a wrong one
├── Forbidden                 this caller may not do this (key, host or origin)
├── NotFound                  no such path, model or run
├── Conflict                  what is asked for does not go with how things stand
├── RequestTooLarge           the body is over the size limit
├── NotSignedIn               Claude refuses our key or sign-in, or there is none
├── QuotaExceeded             billing, plan or spend limit at Claude
├── RateLimited               too many requests, here or at Claude
│   └── QueueFull             every place is taken and the queue is full
├── Overloaded                Claude is overloaded
├── UpstreamFailed            Claude, or the process in between, broke
├── TimedOut                  Claude was silent, or the run took too long
├── RunCancelled              the gateway's operator ended the run
├── ShuttingDown              this gateway is stopping
├── NotInstalled              a part of the gateway that is wanted here is not installed
├── StoreFailed               what is kept cannot be read, or cannot be kept
└── InternalError             our own fault
"""

from typing import ClassVar

# ruff: noqa: N818 - a cause is named by what happened; "Error" at the end of each would say nothing


class GatewayError(Exception):
    """A failure that the client is told about.

    Attributes:
        message: A sentence for the client. Holds no path, key or traceback.
        code: A short machine-readable word, stable between versions.
        param: The request field at fault, if it is one (`messages[2].content`).
        retry_after: Seconds after which a new try makes sense, if known.
        request_id: The request that it ended, once the server knows.
    """

    default_code: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else self.default_code
        self.param = param
        self.retry_after = retry_after
        self.request_id: str | None = None


class InvalidRequest(GatewayError):
    """The client's request cannot be understood or served."""

    default_code = "invalid_value"


class UnsupportedFeature(InvalidRequest):
    """The request is understood, but asks for what is not to be had."""

    default_code = "unsupported_parameter"


class ContextTooLong(InvalidRequest):
    """The prompt does not fit the model; agents compact on its code."""

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
    """What is asked for does not go with how things stand now."""

    default_code = "conflict"


class RequestTooLarge(GatewayError):
    """The request body is over the size limit."""

    default_code = "request_too_large"


class NotSignedIn(GatewayError):
    """Claude refuses the key or sign-in the gateway holds, or it holds none."""

    default_code = "not_signed_in"


class QuotaExceeded(GatewayError):
    """A billing, plan or spend limit at Claude."""

    default_code = "insufficient_quota"


class RateLimited(GatewayError):
    """Too many requests, here or at Claude."""

    default_code = "rate_limit_exceeded"


class QueueFull(RateLimited):
    """Every place is taken and the queue behind them is full."""

    default_code = "queue_full"


class Overloaded(GatewayError):
    """Claude is overloaded."""

    default_code = "overloaded"


class UpstreamFailed(GatewayError):
    """Claude, or the process between it and us, broke."""

    default_code = "upstream_error"


class TimedOut(GatewayError):
    """Claude was silent for too long, or the run took too long."""

    default_code = "timeout"


class RunCancelled(GatewayError):
    """The gateway's operator ended the run."""

    default_code = "run_cancelled"


class ShuttingDown(GatewayError):
    """This gateway is stopping and takes nothing new."""

    default_code = "shutting_down"


class NotInstalled(GatewayError):
    """A part of the gateway that this needs is not installed; the message holds the command that installs it."""

    default_code = "not_installed"


class StoreFailed(GatewayError):
    """What is kept cannot be read, or nothing can be kept; the log says why."""

    default_code = "store_failed"


class InternalError(GatewayError):
    """Our own fault; the details are in the log, under the request id."""

    default_code = "internal_error"
