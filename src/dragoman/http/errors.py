"""How an exchange fails below HTTP. The words are fit for a client: no address, path or key is in them."""


# ruff: noqa: N818 - named by what happened, as the causes in `dragoman.errors` are


class TransportError(Exception):
    """An exchange failed.

    Attributes:
        words: What happened, as the middle of a sentence.
    """

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class ConnectFailed(TransportError):
    """There is no connection: name, address, proxy or TLS."""


class ConnectionBroken(TransportError):
    """The connection ended before the response did.

    Attributes:
        begun: Whether any byte of the response had come.
    """

    def __init__(self, words: str, *, begun: bool) -> None:
        super().__init__(words)
        self.begun = begun


class MalformedResponse(TransportError):
    """What came is not HTTP, or more than is taken."""


class ReadTimeout(TransportError):
    """Nothing came for too long."""
