"""The next turn of a conversation goes to the process of the gateway that holds it, on this node or another.

Every process tells the others which conversations its live processes hold, on a connection to each that stays open. So
a turn that comes to the wrong process needs no look-up: what is known is in memory, and it is forgotten when the
connection ends, as it does with its process. Each process holds a few conversations, so this is little. It is a
gain of time only: a conversation that is not found, or whose process declines, is replayed where the turn came.
"""

import asyncio
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Receive

from dragoman.backends.base import HoldsConversations, RunRequest
from dragoman.core import log
from dragoman.core.supervise import SupervisedTask, describe
from dragoman.dialects.base import DecodedRequest
from dragoman.runs.engine import Engine
from dragoman.server.context import RequestContext
from dragoman.server.peer_channel import LOST, Channel
from dragoman.server.peers import FORWARDED_KEY, PeerId, Peers, pass_response_on, request_head, serve_request

_CONNECT_SECONDS = 0.05
"""How long another node may take to accept a connection: a turn waits no longer for a machine that is gone."""
_LOOK_SECONDS = 1.0
"""Seconds between two looks for new processes."""
_ACCEPT_SECONDS = 1.0
"""How long another process may take to say whether it takes a turn. It only looks into its memory."""
_ONLY_HERE = frozenset({b"idempotency-key", b"last-event-id"})
"""Headers that the process which got the request has dealt with."""


class LiveTurns:
    """Which process holds which conversation, as one process knows it.

    Args:
        peers: The other processes.
        backend: The backend, or the router over several.
        engine: Executes runs.
        fetches: Whether images and files are fetched by URL.
    """

    def __init__(self, peers: Peers, backend: HoldsConversations, engine: Engine, *, fetches: bool = False) -> None:
        self._fetches = fetches
        self._peers = peers
        self._backend = backend
        self._engine = engine
        self._held: dict[str, None] = {}
        self._elsewhere: dict[str, PeerId] = {}
        self._channels: dict[PeerId, Channel] = {}
        self._closing = False
        self._task = SupervisedTask(self._keep_telling, name="live turns", on_failure=_log_failure)
        peers.serve_kind("held", self._listen)
        backend.on_held(self._note)

    def serve(self, app: ASGIApp) -> None:
        """Set the application that answers turns of other processes."""

        async def serve(channel: Channel, rest: list[Any]) -> None:
            [conversation] = rest
            accepted = self._can_take(conversation)
            channel.write(accepted)
            if accepted:
                # Sent only if the other process still waits. Else it replays the turn, and Claude would be asked twice.
                head, body = await channel.read()
                await serve_request(app, head, body, channel)

        self._peers.serve_kind("turn", serve)

    def start(self) -> None:
        """Begin to tell the other processes."""
        self._task.start()

    async def aclose(self) -> None:
        """Take no turn any more, and have the others forget this process. Idempotent."""
        self._closing = True
        await self._task.aclose()
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    async def forward(self, context: RequestContext, receive: Receive, request: DecodedRequest, body: bytes) -> bool:
        """Have the process that holds the conversation of a request answer it.

        Args:
            context: The request.
            receive: Reports that the client disconnects.
            request: The request, decoded.
            body: Its body.

        Returns:
            Whether it did. If not, nothing was sent to the client.

        Raises:
            UpstreamFailed: The process ended after it had taken the request.
            ClientDisconnected: The client disconnected.
        """
        peer, conversation = self._find_process(context, request)
        if peer is None:
            return False
        channel: Channel | None = None
        try:
            try:
                channel = await self._peers.open(peer, _CONNECT_SECONDS)
                channel.write(["turn", conversation])
                async with asyncio.timeout(_ACCEPT_SECONDS):
                    accepted = await channel.read()
            except LOST:
                accepted = False
            if not accepted or channel is None:
                return False
            context.log_fields["worker"] = peer
            channel.write([request_head(context, body, _ONLY_HERE), body])
            await pass_response_on(channel, context, receive)
        finally:
            if channel is not None:
                channel.close()
        return True

    def _find_process(self, context: RequestContext, request: DecodedRequest) -> tuple[PeerId | None, str]:
        """Return the other process that holds the conversation of a request, and the name of the conversation."""
        # Files that are fetched by URL are part of the conversation's name, and are not there yet.
        incomplete = self._fetches and request.media
        if not self._elsewhere or FORWARDED_KEY in context.scope or request.choices != 1 or incomplete:
            return None, ""
        model, options = request.resolved.model, request.request_options
        conversation = None
        with suppress(Exception):  # a request that cannot be run is refused where it came, with its error
            run_request = RunRequest("turn", model, request.body_for(0), options, context.client)
            conversation = self._backend.conversation_of(run_request)
        if conversation is None or conversation in self._held:
            return None, ""
        return self._elsewhere.get(conversation), conversation

    def _can_take(self, conversation: str) -> bool:
        is_full = self._engine.running >= self._engine.limits.max_concurrency
        return conversation in self._held and not is_full and not self._closing

    def _note(self, conversation: str, held: bool) -> None:  # noqa: FBT001 - the protocol of backends
        if held:
            self._held[conversation] = None
        else:
            self._held.pop(conversation, None)
        for peer, channel in list(self._channels.items()):
            if channel.is_closing:
                del self._channels[peer]
            else:
                channel.write([conversation, held])

    async def _keep_telling(self) -> None:
        while True:
            for peer in self._peers.all():
                known = self._channels.get(peer)
                if known is None or known.is_closing:
                    await self._tell(peer)
            self._task.recovered()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _tell(self, peer: PeerId) -> None:
        """Open a connection to a process and send what is held here. What changes later is sent as it does."""
        try:
            channel = await self._peers.open(peer)
        except LOST:
            return
        channel.write(["held", self._peers.own_name(peer)])
        for conversation in self._held:
            channel.write([conversation, True])
        self._channels[peer] = channel

    async def _listen(self, channel: Channel, rest: list[Any]) -> None:
        """Note what another process holds, until the connection ends."""
        [peer] = rest
        held: set[str] = set()
        try:
            while True:
                conversation, is_held = await channel.read()
                if is_held:
                    held.add(conversation)
                    self._elsewhere[conversation] = peer
                else:
                    held.discard(conversation)
                    self._forget(conversation, peer)
        finally:
            for conversation in held:
                self._forget(conversation, peer)

    def _forget(self, conversation: str, peer: PeerId) -> None:
        if self._elsewhere.get(conversation) == peer:
            del self._elsewhere[conversation]


def _log_failure(error: Exception, pause: float) -> None:
    log.warning("nodes.unknown", error=describe(error), again_in=pause)
