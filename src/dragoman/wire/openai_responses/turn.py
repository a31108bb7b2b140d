"""One turn of a kept conversation."""

from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.messages import Block, JSONObject


@dataclass(frozen=True, slots=True)
class PastTurn:
    """One earlier request and its answer.

    Attributes:
        items: What the client said.
        answer: What Claude said, block by block: nothing of it is lost on the way through items.
        model: Who answered.
        before: The exact name of the conversation that it was answered in.
    """

    items: Sequence[JSONObject]
    answer: Sequence[Block]
    model: str
    before: str
