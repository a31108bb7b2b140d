"""Runs that repeat another run: requests that are the same share one call of Claude."""

import asyncio
from collections.abc import Callable

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError, RunCancelled
from dragoman.core.events import BlockDelta, Event
from dragoman.core.message_events import message_events
from dragoman.runs.run import Run, Subscriber


class SharedRun(Subscriber):
    """A run of the engine that any number of runs follow. It ends when all of them have left.

    Args:
        run: The run.
        on_end: Called when it has ended, after its followers know.
        on_reject: Called when its response is not valid for its request.

    Attributes:
        run: The run.
        keeping: The task that caches its response, after its end.
    """

    def __init__(
        self, run: Run, on_end: "Callable[[SharedRun], None]", on_reject: "Callable[[SharedRun], None]"
    ) -> None:
        super().__init__()
        self.run = run
        self.keeping: asyncio.Task[None] | None = None
        self._rejected = False
        self._on_end = on_end
        self._on_reject = on_reject
        self._past: list[Event] = []
        self._followers: list[FollowingRun] = []
        self._is_over = False
        run.add_subscriber(self)

    def add(self, event: Event) -> None:
        """Pass an event on. See `Subscriber.add`."""
        self._past.append(event)
        for follower in self._followers:
            follower.on_event(event)

    def wake(self) -> None:
        """Pass a change of the status on. See `Subscriber.wake`."""
        for follower in self._followers:
            follower.mirror()
        if self.run.ended and not self._is_over:
            self._is_over = True
            self._on_end(self)

    def follow(self, *, first: bool = False) -> "FollowingRun":
        """Return a run that gets all events, also those before.

        Args:
            first: Whether it has the id of the run that it follows.
        """
        follower = FollowingRun(self, first=first)
        for event in self._past:
            follower.on_event(event)
        follower.mirror()
        self._followers.append(follower)
        return follower

    @property
    def can_be_joined(self) -> bool:
        """Whether a further request would get a response."""
        return not self._rejected and (not self.run.ended or self.run.status == "succeeded")

    def reject(self, error: GatewayError) -> None:
        """Record that the response is not valid for its request, nor for any that is the same."""
        self._rejected = True
        self.run.reject(error)
        self._on_reject(self)

    def close(self) -> None:
        """Forget the events: nothing can join any more."""
        self._past.clear()
        self._followers.clear()

    async def leave(self, follower: "FollowingRun", reason: str, error: RunCancelled | None) -> None:
        """Remove a follower. Without another one, end the run, and return when it has released everything."""
        if follower in self._followers:
            self._followers.remove(follower)
        if not self._followers or self.run.ended:
            await self.run.cancel(reason, error)


class FollowingRun(Run):
    """A run whose events and end are those of another one. The engine does not know it.

    Args:
        shared: The run to follow.
        first: Whether it has the id of that run.
    """

    def __init__(self, shared: SharedRun, *, first: bool) -> None:
        source = shared.run
        super().__init__(source.client, source.model)
        self._shared = shared
        if first:
            self.id, self.created, self.created_at = source.id, source.created, source.created_at
        self.source_id = source.id

    def on_event(self, event: Event) -> None:
        """See `Run.on_event`. The reader may ask for the path and the warnings with the first event."""
        super().on_event(event)
        if type(event) is not BlockDelta:
            self._copy_state()

    def mirror(self) -> None:
        """Take over a change of the status."""
        source = self._shared.run
        self._copy_state()
        if source.ended and not self.ended:
            self.error, self.reason = source.error, source.reason
            self._end(source.status)
            self.mark_released()
        elif not self.ended:
            self.status = source.status

    def reject(self, error: GatewayError) -> None:
        """See `Run.reject`. The response is not valid for any request that is the same."""
        super().reject(error)
        self._shared.reject(error)

    async def cancel(self, reason: str, error: RunCancelled | None = None) -> None:
        """Leave the run that is followed. See `Run.cancel`."""
        if not self.ended:
            self.reason = reason
            self.mark_cancelled()
            self.mark_released()
        await self._shared.leave(self, reason, error)

    def _copy_state(self) -> None:
        source = self._shared.run
        self.path, self.upstream, self.usage, self.retries = source.path, source.upstream, source.usage, source.retries
        self.warnings, self.stages, self.calls = source.warnings, dict(source.stages), source.calls


def repeated_run(answer: AccumulatedMessage, *, client: str, model: str, source_id: str) -> Run:
    """Return a run that has ended with a response that was made before.

    Args:
        answer: The response.
        client: The client that gets it.
        model: The id of the model.
        source_id: The id of the run that made it.
    """
    run = Run(client, model)
    run.source_id = source_id
    for event in message_events(answer):
        run.on_event(event)
    run.mark_succeeded()
    run.mark_released()
    return run
