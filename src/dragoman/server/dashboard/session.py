"""Sessions of the dashboard: a cookie in place of the key, and a token against forged requests.

The cookie holds the key, encrypted: a session ends with its key, and every process of a gateway knows it. Scripts
cannot read the cookie, and browsers send it with requests of this site only. Requests that change something also need
the token, which only the page itself has: pages of other programs on this machine are of the same site to a browser.
"""

import base64
import binascii
import hmac
import secrets
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

import msgspec

from dragoman.core.errors import Forbidden
from dragoman.core.messages import JSON
from dragoman.core.value_object import value_object
from dragoman.server.context import RequestContext
from dragoman.server.peers import Peers
from dragoman.server.replies import Reply
from dragoman.stores.crypto import Cipher

MAX_AGE = 12 * 3600
"""Seconds that a session lasts."""
TOKEN_HEADER = "x-dragoman-token"  # noqa: S105 - the name of a header

_NAME = "dashboard session"
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_KEY_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key"})


@value_object
class Session:
    """A person who is signed in.

    Attributes:
        key: The key of the gateway that was given.
        token: What requests that change something must send.
        expires: Seconds since 1970.
    """

    key: str
    token: str
    expires: float


class Sessions:
    """Creates, finds and ends sessions.

    Args:
        cipher: Encrypts cookies.
        clock: Seconds since 1970.
    """

    def __init__(self, cipher: Cipher, clock: Callable[[], float] = time.time) -> None:
        self._cipher = cipher
        self._clock = clock
        self._ended: dict[str, float] = {}
        self._peers: Peers | None = None

    def create(self, key: str) -> tuple[str, Session]:
        """Return the value of a new cookie, and its session."""
        session = Session(key, secrets.token_hex(16), self._clock() + MAX_AGE)
        data = msgspec.json.encode([session.key, session.token, session.expires])
        return base64.urlsafe_b64encode(self._cipher.encrypt(data, _NAME)).decode(), session

    def find(self, context: RequestContext) -> Session | None:
        """Return the session of a request's cookie, if that is valid."""
        if not (header := context.headers.get(b"cookie")):
            return None
        try:
            cookie = SimpleCookie(header.decode("latin-1")).get(cookie_name(context))
            encrypted = base64.urlsafe_b64decode(cookie.value) if cookie else b""
        except (CookieError, binascii.Error, ValueError):
            return None
        if (data := self._cipher.decrypt(encrypted, _NAME)) is None:
            return None
        key, token, expires = msgspec.json.decode(data, type=tuple[str, str, float])
        return None if expires < self._clock() or token in self._ended else Session(key, token, expires)

    def share(self, peers: Peers) -> None:
        """End sessions in all processes that know their cookies."""

        async def end(token: str) -> JSON:
            self._end(token)
            return True

        peers.answer("sign-out", end)
        self._peers = peers

    async def end(self, session: Session) -> None:
        """End a session before its time. Its cookie is not valid any more."""
        self._end(session.token)
        if self._peers is not None:
            await self._peers.ask_all("sign-out", session.token)

    def _end(self, token: str) -> None:
        now = self._clock()
        self._ended = {token: until for token, until in self._ended.items() if until >= now}
        self._ended[token] = now + MAX_AGE


class SessionCheck:
    """Gives requests with a session its key, so that the check of keys that follows decides as for any program.

    Args:
        sessions: The sessions.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def __call__(self, context: RequestContext) -> Reply | None:
        """Check one request.

        Raises:
            Forbidden: The request may change something, and its token is missing or wrong.
        """
        headers = context.headers
        if b"cookie" not in headers or not _KEY_HEADERS.isdisjoint(headers):
            return None
        session = self._sessions.find(context)
        if session is None:
            return None
        sent = headers.get(TOKEN_HEADER.encode(), b"")
        if context.method not in _SAFE_METHODS and not hmac.compare_digest(sent, session.token.encode()):
            raise Forbidden(
                f"This request was not sent by the dashboard's page: the header `{TOKEN_HEADER}` is missing or wrong.",
                code="invalid_token",
            )
        headers[b"authorization"] = b"Bearer " + session.key.encode("latin-1")
        return None


def cookie_name(context: RequestContext) -> str:
    """Return the name of the cookie. It has the port: browsers send cookies to all ports of a host."""
    server = context.scope.get("server")
    return f"dragoman-{server[1] if server else 0}"


def set_cookie(context: RequestContext, value: str, max_age: int) -> str:
    """Return the header that sets the cookie, or with `max_age` 0 deletes it."""
    secure = "; Secure" if context.scope.get("scheme") == "https" else ""
    return f"{cookie_name(context)}={value}; Max-Age={max_age}; Path=/; HttpOnly; SameSite=Strict{secure}"
