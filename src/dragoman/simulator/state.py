"""What the simulator remembers: requests that came, faults to come, who waits."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from dragoman.core.messages import JSONObject
from dragoman.simulator.cache import PromptCache
from dragoman.simulator.faults import Fault
from dragoman.simulator.json_values import objects_of, plain_text

MESSAGES_PATH = "/v1/messages"
_PROBES = frozenset({"hi", "test", "quota", "count"})


@dataclass(slots=True)
class Received:
    """One request to `/v1/messages` or `/v1/messages/count_tokens`.

    Attributes:
        path: Its path.
        headers: Its headers, names in lower case.
        body: Its JSON body; empty where it was none.
        status: The HTTP status answered; None until then, or where the socket was cut before.
        finished: Whether the whole answer was sent.
        usage: The usage of the answer, as its end tells it.
    """

    path: str
    headers: Mapping[str, str]
    body: JSONObject
    status: int | None = None
    finished: bool = False
    usage: JSONObject = field(default_factory=dict)

    @property
    def is_call(self) -> bool:
        """Whether somebody asked for a message: not for a count, and not one of the runtime's own one-token probes."""
        return self.path == MESSAGES_PATH and not self._is_probe

    @property
    def _is_probe(self) -> bool:
        messages = objects_of(self.body.get("messages"))
        if self.body.get("max_tokens") != 1 or len(messages) != 1:
            return False
        return plain_text(messages[0].get("content")).strip().lower() in _PROBES


class Pulse:
    """Wakes all who wait now, and nobody who waits later."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Wake them."""
        self._event.set()
        self._event = asyncio.Event()

    def next(self) -> asyncio.Event:
        """The event that the next `fire` sets: taken early, it misses none."""
        return self._event


class State:
    """One simulator's memory. Touched by its event loop only.

    Args:
        keep: How many requests are remembered; older ones are forgotten.
    """

    def __init__(self, *, keep: int = 10_000) -> None:
        self.received: list[Received] = []
        self.cache = PromptCache()
        self.held = False
        self.released = Pulse()
        self._arrived = Pulse()
        self._calls = 0
        self._served = 0
        self._faults: deque[Fault] = deque()
        self._keep = keep

    def arrive(self, received: Received) -> None:
        """Note a request, and wake those who wait for it."""
        self.received.append(received)
        if len(self.received) > self._keep:
            del self.received[0]
        if received.is_call:
            self._calls += 1
            self._arrived.fire()

    def clear(self) -> None:
        """Forget the requests and the faults to come; what is cached stays."""
        self.received.clear()
        self._faults.clear()
        self._calls = 0

    def inject(self, fault: Fault, times: int = 1) -> None:
        """Give the next messages a fault, after those injected before."""
        self._faults.extend([fault] * times)

    def next_fault(self) -> Fault | None:
        """The injected fault that the next message gets, if there is one."""
        return self._faults.popleft() if self._faults else None

    def next_number(self) -> int:
        """A number for each request, from 1: the ids are made of it."""
        self._served += 1
        return self._served

    def hold(self) -> None:
        """Stop answers before their first content delta from now on."""
        self.held = True

    def release(self) -> None:
        """Let all held answers go on, and stop none from now on."""
        self.held = False
        self.released.fire()

    async def wait_for_calls(self, count: int) -> None:
        """Return as soon as so many calls have come since the start or the last `clear`."""
        while self._calls < count:
            await self._arrived.next().wait()
