"""What the parts of a gateway do when it stops, stage by stage."""

import asyncio

from dragoman.backends.base import Embedder
from dragoman.core.value_object import value_object
from dragoman.runs.engine import Engine
from dragoman.server.idempotency import IdempotencyService
from dragoman.server.stored.queued import QueuedResponses
from dragoman.server.stored.service import StoredResponseService
from dragoman.wiring.nodes import Neighbours


@value_object
class StopStages:
    """Stops the parts of a gateway; see `dragoman.server.http_server.Stoppable`.

    Attributes:
        neighbours: The other processes.
        queued: Generates queued responses of other processes.
        engine: The engine.
        embedder: The embedder.
        responses: The stored responses.
        idempotency: The recorded requests.
    """

    neighbours: Neighbours
    queued: QueuedResponses | None
    engine: Engine
    embedder: Embedder
    responses: StoredResponseService | None
    idempotency: IdempotencyService | None

    async def announce_stop(self) -> None:
        """Be not ready, and have other nodes send nothing."""
        await self.neighbours.drain()

    async def hand_over(self) -> None:
        """End what watches the runs, and leave queued responses to other processes. Idempotent."""
        self.engine.registry.end_feeds()
        if self.queued:
            await self.queued.drain(hand_over=self.neighbours.has_successor)

    async def drain(self, grace: float) -> None:
        """Refuse new requests, give running ones these seconds, then end the rest with an error."""
        await self.hand_over()  # requests may have come since the first time
        await asyncio.gather(self.engine.aclose(grace), self.embedder.aclose(grace))
        if self.responses:
            await self.responses.jobs.aclose()
        if self.idempotency:
            await self.idempotency.aclose()
