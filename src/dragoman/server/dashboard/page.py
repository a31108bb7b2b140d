"""`/dashboard`: the page, its modules, and signing in and out.

The page itself holds its style and its first script, which keeps the number of requests small. Its policy allows these
by their hashes, and modules from this gateway; nothing else may run, and nothing is loaded from elsewhere.
"""

import base64
import hashlib
from functools import cached_property
from html import escape
from importlib import resources

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dragoman import __version__
from dragoman.server.context import RequestContext, get_context
from dragoman.server.dashboard.session import MAX_AGE, Sessions, set_cookie

_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Dashboard:
    """The endpoints of the dashboard. What the page shows comes from the admin API.

    Args:
        sessions: The sessions of people who are signed in.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def page(self, request: Request) -> Response:
        """Return the page. It has the token of its session, if there is one."""
        context = get_context(request.scope)
        # Without keys everyone is the operator. A session ends when its key is changed.
        session = self._sessions.find(context) if context.authenticated else None
        access = _access(context) if session else "open" if context.is_operator else "signed-out"
        values = {"access": access, "token": session.token if session else "", "version": __version__}
        html = self._shell
        for name, value in values.items():
            html = html.replace(f"{{{{{name}}}}}", escape(value))
        return HTMLResponse(html, headers={**_HEADERS, "content-security-policy": self._policy})

    async def module(self, request: Request) -> Response:
        """Return one of its modules."""
        name = get_context(request.scope).path.rpartition("/")[2]
        headers = {**_HEADERS, "cache-control": "no-cache", "etag": f'"{__version__}-{_digest(_asset(name))[7:20]}"'}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(_asset(name), media_type="text/javascript", headers=headers)

    async def sign_in(self, request: Request) -> Response:
        """Create a session for the key that the request was sent with. That of a client sees its own usage only."""
        context = get_context(request.scope)
        key = context.headers.get(b"authorization", b"").decode("latin-1").partition(" ")[2]
        if not key:  # no key is required
            return Response(b'{"token":""}', media_type="application/json")
        cookie, session = self._sessions.create(key)
        return _json({"token": session.token, "access": _access(context)}, set_cookie(context, cookie, MAX_AGE))

    async def sign_out(self, request: Request) -> Response:
        """End the session of the request."""
        context = get_context(request.scope)
        if session := self._sessions.find(context):
            await self._sessions.end(session)
        return _json({}, set_cookie(context, "", 0))

    @cached_property
    def _shell(self) -> str:
        """The page with its style and script."""
        shell = _asset("dashboard.html")
        return shell.replace("{{style}}", _asset("dashboard.css")).replace("{{script}}", _asset("app.js"))

    @cached_property
    def _policy(self) -> str:
        rules = (
            "default-src 'none'",
            f"style-src '{_digest(_asset('dashboard.css'))}'",
            f"script-src 'self' '{_digest(_asset('app.js'))}'",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types dragoman",
        )
        return "; ".join(rules)


def _access(context: RequestContext) -> str:
    """Return what a person who is signed in may see."""
    return "signed-in" if context.is_operator else "member"


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(body: dict[str, str], cookie: str) -> Response:
    headers = {"set-cookie": cookie, "cache-control": "no-store"}
    return Response(msgspec.json.encode(body), media_type="application/json", headers=headers)
