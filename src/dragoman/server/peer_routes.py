"""Requests about what another process does, on this node or another: events and ends of runs, open responses."""

import re
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from dragoman.core.messages import JSON
from dragoman.runs.engine import Engine
from dragoman.server.context import CLIENT_CLOSED_REQUEST, RequestContext, get_context
from dragoman.server.disconnect import ClientDisconnected
from dragoman.server.options import ServerOptions
from dragoman.server.peers import PeerId, Peers

_WITH_ID = re.compile(r"(?:/admin/runs|(?:/v1)?/responses)/([^/]+)(?:/events|/cancel)?")
_RECORDS = "/admin/runs"
"""Paths of the records of runs, which each process writes a little later."""
_NOT_IDS = frozenset({"input_tokens", "compact"})


class PeerRoutes:
    """The routes of a process. What another process executes, that one answers for.

    Args:
        app: The routes.
        peers: The other processes.
        holds: Returns whether this process executes the run or generates the response of an id.
    """

    def __init__(self, app: ASGIApp, peers: Peers, holds: Callable[[str], bool]) -> None:
        self._app = app
        self._peers = peers
        self._holds = holds

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        path: str = scope["path"]
        found = _WITH_ID.fullmatch(path)
        if found and found[1] not in _NOT_IDS and not self._holds(found[1]):
            return self._answer_for(found[1], scope, receive, send)
        return self._answer_for(None, scope, receive, send) if path == _RECORDS else self._app(scope, receive, send)

    async def _answer_for(self, id_: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request about all runs, or about an id that is not of this process."""
        peer = await self._peers.find(id_) if id_ else None
        if peer is not None:
            await answer_elsewhere(self._peers, peer, get_context(scope), receive)
            return
        if scope["path"].startswith(_RECORDS):
            await self._peers.ask_all("flush")
        await self._app(scope, receive, send)


async def answer_elsewhere(
    peers: Peers, peer: PeerId, context: RequestContext, receive: Receive, body: bytes = b""
) -> None:
    """Have another process answer a request; see `Peers.forward`. A client that disconnects is noted."""
    context.log_fields["worker"] = peer
    try:
        await peers.forward(peer, context, receive, body)
    except ClientDisconnected:
        context.status = context.status or CLIENT_CLOSED_REQUEST
        context.log_fields["disconnect"] = context.disconnect_reason


def connect_peers(peers: Peers, engine: Engine, options: ServerOptions) -> Callable[[str], bool]:
    """Set how questions of other processes are answered, and where repeated requests go.

    Returns:
        Whether this process executes the run or generates the response of an id.
    """
    stored, idempotency = options.stored_responses, options.idempotency
    process = idempotency.producer if idempotency else ""

    def holds(id_: str) -> bool:
        return engine.registry.live(id_) is not None or (stored is not None and stored.jobs.get(id_) is not None)

    async def answer_holds(id_: str) -> JSON:
        return id_ == process or holds(id_)

    async def elsewhere(context: RequestContext, receive: Receive, body: bytes, producer: str) -> bool:
        peer = await peers.find(producer)
        if peer is None:
            return False
        await answer_elsewhere(peers, peer, context, receive, body)
        return True

    async def answer_flush(_argument: str) -> JSON:
        await engine.registry.flush()
        return True

    peers.answer("holds", answer_holds)
    peers.answer("flush", answer_flush)
    if idempotency is not None:
        idempotency.elsewhere = elsewhere
    return holds
