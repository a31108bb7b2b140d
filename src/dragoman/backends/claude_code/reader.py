"""What all readers of the runtime's frames have in common. No I/O here."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Literal, TypeAlias

from dragoman.errors import GatewayError, UpstreamFailed
from dragoman.events import Event
from dragoman.messages import JSONObject

Outcome: TypeAlias = Literal["open", "whole", "parked", "spent", "failed"]
"""`whole`: the process may be asked again. `parked`: it waits for the results of the calls in the answer. `spent`: the
answer is whole, but the process must be killed at once."""


class Reader:
    """Reads frames from the moment of asking to the end.

    Attributes:
        outcome: Where it stands.
        error: Why it failed.
        asks_again: Whether the runtime waits to ask the API once more, after a failure that it told of.
        astray: Whether the runtime will ask the API once more of itself, which it must not.
        said: Bytes of the answer so far; a token has at least one.
    """

    def __init__(self) -> None:
        self.outcome: Outcome = "open"
        self.error: GatewayError | None = None
        self.asks_again = False
        self.astray = False
        self.said = 0

    @property
    def working(self) -> bool:
        """Whether the model itself has nothing to do, so that its silence means nothing."""
        return False

    @abstractmethod
    def feed(self, frame: JSONObject) -> Iterator[Event]:
        """Take the next frame, and yield what it means."""

    def broke(self, reason: str) -> None:
        """Take note that the process ended, or was silent for too long."""
        if self.outcome == "open":
            words = f"The Claude Code process failed: {reason}. `dragoman doctor` tries it."
            self.fail(UpstreamFailed(words, code="runtime_failed"))

    def fail(self, error: GatewayError) -> None:
        """There is no answer, or only the beginning of one."""
        self.error = error
        self.outcome = "failed"
