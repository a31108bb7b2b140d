"""What the responses dialect remembers of a request until its answer is encoded."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dragoman.messages import JSONObject
from dragoman.wire.base import Decoded
from dragoman.wire.formats import AnswerFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesRequest(Decoded):
    """A responses request, understood.

    Attributes:
        echo: The settings that every response repeats.
        custom: Names of the tools that take free text.
        tool_schemas: The client's own parameter schemas, by tool.
        answer_format: What the text must be, checked before the answer ends; none for free text.
        summary: Whether the client wants to read what was thought.
        encrypted: Whether it wants to send it back.
        sources: Whether it wants to know where was searched.
    """

    echo: JSONObject = field(default_factory=dict)
    custom: frozenset[str] = frozenset()
    tool_schemas: Mapping[str, JSONObject] = field(default_factory=dict)
    answer_format: AnswerFormat | None = None
    summary: bool = False
    encrypted: bool = False
    sources: bool = False
