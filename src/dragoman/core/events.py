"""Events of a run: a closed union of immutable objects.

Block and message events contain the raw event of the Messages API, so no field is lost. A backend yields, in order:
one `Started`; one `MessageStart`; for each content block one `BlockStart`, any number of `BlockDelta` and one
`BlockStop`, one block after the other; one `MessageDelta` with the stop reason; one `MessageStop`.

`Retrying` may come wherever the API failed. `Restarted` follows if a part of the response was already sent. A further
`Started` comes if nothing was sent and another upstream is tried. A failure is a raised `GatewayError`, not an event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from dragoman.core.messages import Block, JSONObject
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning

if TYPE_CHECKING:
    from dragoman.core.accumulate import AccumulatedMessage

Path: TypeAlias = Literal["live", "warm", "cold", "resume", "api", "agent", "cli"]
"""How a response is produced: by a live process, a warm one, a new one, a resumed session, the API itself, an agent,
which calls the API any number of times, or one run of the command `claude -p`."""


@value_object
class Started:
    """The backend is about to call the model.

    Attributes:
        path: How the response is produced.
        stages: Seconds that each stage up to here took (`process`, `replay`).
        warnings: What could not be done as requested, in addition to the dialect's warnings.
    """

    path: Path
    stages: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[RequestWarning, ...] = ()


@value_object
class Retrying:
    """A call of the model failed and is repeated.

    Attributes:
        attempt: The number of the failed attempt, from 1.
        delay: Seconds until the next attempt.
        reason: The API's error type.
    """

    attempt: int
    delay: float
    reason: str


@value_object
class Restarted:
    """The response broke off and starts again with a new `MessageStart`. Discard everything before.

    A response that is not streamed starts over. A stream whose client has received a part can only end with an error.
    """


@value_object
class MessageStart:
    """`message_start`."""

    raw: JSONObject


@value_object
class BlockStart:
    """`content_block_start`."""

    index: int
    raw: JSONObject


@value_object
class BlockDelta:
    """`content_block_delta`."""

    index: int
    raw: JSONObject


@dataclass(slots=True, unsafe_hash=True)
class BlockStop:
    """`content_block_stop`.

    Attributes:
        index: The block's index in the message.
        raw: The event of the Messages API.
        block: The finished block, as a `MessageAccumulator` sets it on the events that pass through it.
    """

    index: int
    raw: JSONObject
    block: Block | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True, unsafe_hash=True)
class MessageDelta:
    """`message_delta`: stop reason and final usage.

    Attributes:
        raw: The event of the Messages API.
        accumulated: The message up to here, as a `MessageAccumulator` sets it on the events that pass through it.
    """

    raw: JSONObject
    accumulated: "AccumulatedMessage | None" = field(default=None, compare=False, repr=False)


@value_object
class MessageStop:
    """`message_stop`."""

    raw: JSONObject


MessageEvent: TypeAlias = MessageStart | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop
Event: TypeAlias = Started | Retrying | Restarted | MessageEvent
