"""Who pays: a key, a token, or whatever the official SDK finds on this machine."""

from typing import Literal, Protocol, TypeAlias

from dragoman.backends.anthropic.request import API_VERSION

Kind: TypeAlias = Literal["api_key", "auth_token", "sdk", "bedrock", "vertex", "none"]


class Credentials(Protocol):
    """What signs calls.

    Attributes:
        kind: Where it comes from, for the operator.
        betas: Betas that every call signed with it needs.
        base_url: The API's address that goes with it, if it names one; known once a signature was had.
        headers: Further header lines that go with it.
    """

    kind: Kind
    betas: tuple[str, ...]
    base_url: str | None
    headers: bytes

    def start(self) -> None:
        """Begin to look; what takes time goes on behind."""
        ...

    async def aclose(self) -> None:
        """End what still looks."""
        ...

    async def signature(self, version: str) -> bytes:
        """The header line that a call carries.

        Args:
            version: The `anthropic-version` of the call.

        Raises:
            NotSignedIn: There is nothing to sign with.
            UpstreamFailed: A token could not be renewed now.
        """
        ...

    async def renew(self, refused: bytes) -> bool:
        """Get something better than a signature that was refused; False where there is nothing better.

        Raises:
            GatewayError: As `signature` does.
        """
        ...

    def missing(self) -> str | None:
        """Why calls cannot be signed, for the operator; nothing if they can, or if that is not known yet."""
        ...


class Fixed:
    """A key or token that does not change.

    Args:
        kind: Which of them.
        secret: Itself.
    """

    betas: tuple[str, ...] = ()
    base_url: str | None = None
    headers = b""

    def __init__(self, kind: Literal["api_key", "auth_token"], secret: str) -> None:
        self.kind: Kind = kind
        # What cannot stand in a header line would be refused anyway, but must not end the line.
        clean = "".join(sign for sign in secret if sign.isascii() and sign.isprintable()).strip()
        self._bearer = f"authorization: Bearer {clean}\r\n".encode("ascii")
        self._own = f"x-api-key: {clean}\r\n".encode("ascii") if kind == "api_key" else self._bearer

    def start(self) -> None:
        """There is nothing to look for."""

    async def aclose(self) -> None:
        """Nothing looks."""

    async def signature(self, version: str) -> bytes:
        """The line. From 2026-10-21 on keys go as bearer tokens."""
        return self._own if version == API_VERSION else self._bearer

    async def renew(self, refused: bytes) -> bool:  # noqa: ARG002 - one is as good as another
        """There is no better one."""
        return False

    def missing(self) -> str | None:
        """Nothing is."""
        return None
