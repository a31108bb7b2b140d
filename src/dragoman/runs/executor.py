"""Execute a run on one backend: restore thinking, call the backend, continue paused responses, store thinking.

The API may end a response with the stop reason `pause_turn` while its own tools work. The response is then sent back
as it is, and the model continues. Source: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Protocol, TypeAlias, cast, runtime_checkable

from dragoman.backends.base import Backend, ManagedBackend, RunRequest, YieldsGroups
from dragoman.core.accumulate import add_usage
from dragoman.core.errors import InvalidRequest, UpstreamFailed
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Restarted,
    Retrying,
    Started,
)
from dragoman.core.messages import JSON, JSONObject, Message, MessagesRequest, Usage
from dragoman.core.value_object import replace
from dragoman.runs.reasoning_store import (
    ReasoningStore,
    is_thinking_rejected,
    without_orphan_thinking,
    without_rejected_thinking,
)
from dragoman.runs.run import Run
from dragoman.runs.shaping.shaper import BackendCall, shaped

_MAX_PARTS = 10

GroupedCall: TypeAlias = Callable[[RunRequest], AsyncGenerator[Sequence[Event], None]]
"""A backend's `run_in_groups`."""


@runtime_checkable
class Dispatcher(ManagedBackend, Protocol):
    """Executes runs, on one of several upstreams."""

    async def execute(self, request: RunRequest, run: Run) -> None:
        """Execute a run, and give it its events.

        Raises:
            GatewayError: There is no response, or only the beginning of one.
        """
        ...


class RunExecutor:
    """Executes runs on one backend.

    It restores thinking that the client left out, and continues where the API paused. Clients of the Messages API do
    both themselves. An agent's thinking belongs to its own API calls, and no later request can use it.

    Args:
        backend: The backend. The caller starts and closes it.
        thinking: Stores thinking between the requests of a conversation; None: thinking is not stored.
        only_upstream: Whether there is no other upstream. Then a request whose thinking the API rejects is repeated
            without it here; otherwise the router does that.
    """

    def __init__(
        self, backend: Backend, thinking: ReasoningStore | None = None, *, only_upstream: bool = False
    ) -> None:
        self.backend = backend
        self._run_in_groups = backend.run_in_groups if isinstance(backend, YieldsGroups) else None
        self._thinking = thinking
        self._only_upstream = only_upstream

    async def execute(self, request: RunRequest, run: Run) -> None:
        """Execute a run that holds its slots; see `Dispatcher.execute`."""
        run.mark_running()
        call = self._call(request, run)
        if request.request_options.verbatim or request.request_options.agent:
            if request.request_options.verbatim:
                run.mark_sent(request.body)
            async with aclosing(call(request)) as groups:
                async for events in groups:
                    for event in events:
                        run.calls.add(event)
                    run.on_events(events)
            return
        thinking = self._thinking
        if thinking is None:
            restored = without_orphan_thinking(request.body)
        else:
            restored = await thinking.restore(request.body, request.model, request.client)
        run.add_warnings(restored.warnings)
        if restored.body is not request.body:
            request = replace(request, body=restored.body)
        try:
            await run_with_continuations(call, request, run)
        except InvalidRequest as error:
            if not self._only_upstream or run.has_output or not is_thinking_rejected(error):
                raise
            restored = without_rejected_thinking(request.body)
            run.add_warnings(restored.warnings)
            await run_with_continuations(call, replace(request, body=restored.body), run)
        if thinking is not None:
            await thinking.store(restored, run.result().message, request.client)

    def _call(self, request: RunRequest, run: Run) -> GroupedCall:
        shaping = request.request_options.shaping
        if self._run_in_groups is not None and not shaping.changes_events:
            return self._run_in_groups
        return grouped(shaped(self.backend.run, shaping, run))


def grouped(call: BackendCall) -> GroupedCall:
    """Return a backend's `run` in the form of its `run_in_groups`: each event is a group."""

    async def run_in_groups(request: RunRequest) -> AsyncGenerator[Sequence[Event], None]:
        async with aclosing(call(request)) as events:
            async for event in events:
                yield (event,)

    return run_in_groups


async def run_with_continuations(call: GroupedCall, request: RunRequest, run: Run) -> None:
    """Give a run the events of one response, also if the API sends it in several parts.

    Args:
        call: A backend's `run_in_groups`.
        request: The request.
        run: Receives the events, as those of one message.

    Raises:
        UpstreamFailed: The response is still paused after the maximum number of parts.
    """
    joiner = _PartJoiner(run)
    run.mark_sent(request.body)
    for _ in range(_MAX_PARTS):
        async with aclosing(call(request)) as groups:
            async for events in groups:
                run.on_events(joiner.join_all(events))
        if not joiner.paused:
            return
        request = replace(request, body=joiner.next_body(request.body))
    raise UpstreamFailed(f"Claude paused its response {_MAX_PARTS} times.")


class _PartJoiner:
    """Turns the events of several parts into those of one message.

    Attributes:
        first: Whether the current part is the first.
        paused: Whether the current part ended with a pause.
    """

    def __init__(self, run: Run) -> None:
        self.first = True
        self.paused = False
        self._run = run
        self._blocks = 0
        self._earlier_usage: Usage = {}

    def join_all(self, events: Sequence[Event]) -> Iterator[Event]:
        """Yield the events of the joined message, each when the one before it was taken."""
        for event in events:
            if self.first and type(event) is BlockDelta:  # the most frequent event
                yield event
            elif (joined := self._join(event)) is not None:
                yield joined

    def _join(self, event: Event) -> Event | None:
        """Return the event of the joined message; None if the event does not belong to it."""
        if type(event) is MessageStart:
            self._run.calls.add(event)
        elif type(event) is MessageDelta:
            self._run.calls.add(event)
            if _stop_reason(event.raw) == "pause_turn":
                self.paused = True
                return None
        elif type(event) is MessageStop and self.paused:
            return None
        return event if self.first else self._join_later(event)

    @property
    def _usage(self) -> Usage:
        """The usage of the current part."""
        return self._run.calls.usages[-1]

    def next_body(self, body: MessagesRequest) -> MessagesRequest:
        """Return the request for the next part: the response so far is its last message."""
        self._earlier_usage = add_usage(self._earlier_usage, self._usage)
        content = self._run.result().message["content"][self._blocks :]
        self._blocks += len(content)
        self.first, self.paused = False, False
        messages = list(body["messages"])
        if messages[-1]["role"] == "assistant":
            content = [*messages.pop()["content"], *content]
        return cast("MessagesRequest", {**body, "messages": [*messages, Message(role="assistant", content=content)]})

    def _join_later(self, event: Event) -> Event | None:
        match event:
            case BlockStart() | BlockDelta() | BlockStop():
                index = event.index + self._blocks
                return replace(event, index=index, raw={**event.raw, "index": index})
            case MessageDelta(raw):
                return MessageDelta({**raw, "usage": cast("JSON", add_usage(self._earlier_usage, self._usage))})
            case MessageStop():
                return event
            case Restarted():
                raise UpstreamFailed("Claude's response broke off in the middle.")
            case Started() | Retrying() | MessageStart():
                return None


def _stop_reason(raw: JSONObject) -> object:
    delta = raw.get("delta")
    return delta.get("stop_reason") if isinstance(delta, dict) else None
