"""What happens in a run: a closed union of frozen events.

Block and message events carry the raw Messages API event, so nothing that the API says is lost on the way. A backend
yields, in order: one `Started`; one `MessageStart`; for each content block one `BlockStart`, any `BlockDelta` and one
`BlockStop`, blocks one after the other; one `MessageDelta` with the stop reason; one `MessageStop`. `Retrying` may come
wherever the API failed; `Restarted` follows where a part of the answer was said already; a further `Started` where
nothing was, and another account is asked instead. A failure is a raised `GatewayError`, never an event.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Literal, TypeAlias

from dragoman.core.messages import Block, JSONObject
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning

if TYPE_CHECKING:
    from dragoman.core.accumulate import AccumulatedMessage

Path: TypeAlias = Literal["live", "warm", "cold", "resume", "api", "agent", "cli"]
"""How the answer was had: a live process, a spare one, a newly started one, a resumed session, the API itself, an
agent, which asks the API any number of times, or one run of the command `claude -p`."""


@value_object
class Started:
    """The backend has what it needs and is about to ask the model.

    Attributes:
        path: How the answer is had.
        stages: Seconds each stage before this took (`process`, `replay`).
        warnings: What could not be done as asked, beside what the dialect knows.
    """

    path: Path
    stages: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[RequestWarning, ...] = ()


@value_object
class Retrying:
    """The model could not be asked and is asked again.

    Attributes:
        attempt: The number of the failed attempt, from 1.
        delay: Seconds until the next one.
        reason: The API's word for the failure.
    """

    attempt: int
    delay: float
    reason: str


@value_object
class Restarted:
    """The answer broke off and is given anew from its `MessageStart`: what was said so far is void.

    A plain answer starts over; a stream whose client has seen a part already can only end in an error.
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


@value_object
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


@value_object
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
