"""Errors of the HTTP client. Their texts may be shown to clients: they hold no address, path or key."""


# ruff: noqa: N818 - named by what happened, as the causes in `core.errors` are


class TransportError(Exception):
    """A request got no complete response.

    Attributes:
        reason: What happened, to be put into a sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ConnectFailed(TransportError):
    """No connection: name, address, proxy or TLS."""


class ConnectionBroken(TransportError):
    """The connection ended before the response did.

    Attributes:
        begun: Whether any byte of the response was received.
    """

    def __init__(self, reason: str, *, begun: bool) -> None:
        super().__init__(reason)
        self.begun = begun


class MalformedResponse(TransportError):
    """The response is not HTTP, or is larger than the limit."""


class ReadTimeout(TransportError):
    """No byte was received within the time limit."""
