"""The state of a simulator: received requests, injected faults, the prompt cache, and whether responses are held."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from dragoman.core.messages import JSONObject
from dragoman.simulator.cache import PromptCache
from dragoman.simulator.faults import Fault
from dragoman.simulator.json_values import objects_of, plain_text

MESSAGES_PATH = "/v1/messages"
_PROBE_TEXTS = frozenset({"hi", "test", "quota", "count"})


@dataclass(slots=True)
class ReceivedRequest:
    """One request to `/v1/messages` or `/v1/messages/count_tokens`.

    Attributes:
        path: Its path.
        headers: Its headers, names in lower case.
        body: Its JSON body; empty if it is not a JSON object.
        status: The HTTP status of the response; None before the response, or if the connection broke before it.
        finished: Whether the complete response was sent.
        usage: The usage at the end of the response.
    """

    path: str
    headers: Mapping[str, str]
    body: JSONObject
    status: int | None = None
    finished: bool = False
    usage: JSONObject = field(default_factory=dict)

    @property
    def is_call(self) -> bool:
        """Whether it asks for a message. Token counts and the runtime's one-token probes are not calls."""
        return self.path == MESSAGES_PATH and not self._is_probe

    @property
    def _is_probe(self) -> bool:
        messages = objects_of(self.body.get("messages"))
        if self.body.get("max_tokens") != 1 or len(messages) != 1:
            return False
        return plain_text(messages[0].get("content")).strip().lower() in _PROBE_TEXTS


class Notifier:
    """Wakes every task that waits at the time of a notification, and no task that waits later."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify_all(self) -> None:
        """Wake the waiting tasks."""
        self._event.set()
        self._event = asyncio.Event()

    def next_event(self) -> asyncio.Event:
        """Return the event that the next `notify_all` sets. Take it early to miss no notification."""
        return self._event


class State:
    """The state of one simulator. Only its event loop uses it.

    Args:
        keep: How many requests are recorded. Older ones are removed.
    """

    def __init__(self, *, keep: int = 10_000) -> None:
        self.received: list[ReceivedRequest] = []
        self.cache = PromptCache()
        self.is_holding = False
        self.released = Notifier()
        self._call_recorded = Notifier()
        self._call_count = 0
        self._request_count = 0
        self._faults: deque[Fault] = deque()
        self._max_recorded = keep

    def record(self, received: ReceivedRequest) -> None:
        """Record a request, and wake the tasks that wait for it."""
        self.received.append(received)
        if len(self.received) > self._max_recorded:
            del self.received[0]
        if received.is_call:
            self._call_count += 1
            self._call_recorded.notify_all()

    def clear(self) -> None:
        """Remove the recorded requests and the injected faults. The prompt cache remains."""
        self.received.clear()
        self._faults.clear()
        self._call_count = 0

    def inject(self, fault: Fault, times: int = 1) -> None:
        """Give the next messages a fault, after the faults that were injected before."""
        self._faults.extend([fault] * times)

    def next_fault(self) -> Fault | None:
        """Remove and return the next injected fault, if there is one."""
        return self._faults.popleft() if self._faults else None

    def next_request_number(self) -> int:
        """Return a number for each request, from 1. The ids contain it."""
        self._request_count += 1
        return self._request_count

    def hold(self) -> None:
        """From now on, stop each response before its first content delta."""
        self.is_holding = True

    def release(self) -> None:
        """Let all held responses continue, and stop no further one."""
        self.is_holding = False
        self.released.notify_all()

    async def wait_for_calls(self, count: int) -> None:
        """Wait until this many calls were received since the start or the last `clear`."""
        while self._call_count < count:
            await self._call_recorded.next_event().wait()
