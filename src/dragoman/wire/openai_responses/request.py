"""What the responses dialect remembers of a request until its answer is encoded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from dragoman.messages import JSON, Block, JSONObject
from dragoman.values import unchanging
from dragoman.wire.base import Decoded
from dragoman.wire.formats import AnswerFormat
from dragoman.wire.openai_responses.turn import PastTurn


@unchanging(kw_only=True)
class ResponsesRequest(Decoded):
    """A responses request, understood.

    Attributes:
        echo: The settings that every response repeats.
        custom: Names of the tools that take free text.
        tool_schemas: The client's own parameter schemas, by tool.
        answer_format: What the text must be, checked before the answer ends; none for free text.
        summary: Whether the client wants to read what was thought.
        seal: Closes a thinking block for the client to send it back; none where it does not want to.
        sources: Whether it wants to know where was searched.
        items: What this request says, item by item, as it is kept.
        tools: Its tools, as the client sent them.
        past: What was said before, in kept responses.
        before: Gives the exact name of the conversation, which thinking is bound to.
    """

    echo: JSONObject = field(default_factory=dict)
    custom: frozenset[str] = frozenset()
    tool_schemas: Mapping[str, JSONObject] = field(default_factory=dict)
    answer_format: AnswerFormat | None = None
    summary: bool = False
    seal: Callable[[Block], str | None] | None = None
    sources: bool = False
    items: JSON = None
    tools: JSON = None
    past: Sequence[PastTurn] = ()
    before: Callable[[], str] = str
