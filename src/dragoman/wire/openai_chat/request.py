"""What the chat dialect remembers of a request until its answer is encoded."""

from collections.abc import Mapping
from dataclasses import field

from dragoman.messages import JSON, JSONObject
from dragoman.values import unchanging
from dragoman.wire.base import Decoded
from dragoman.wire.formats import AnswerFormat


@unchanging(kw_only=True)
class ChatRequest(Decoded):
    """A chat completions request, understood.

    Attributes:
        include_usage: Whether the stream ends with a chunk that holds the usage.
        legacy_functions: Whether calls are answered as `function_call`, the form before tools.
        answer_format: What the text must be, checked before the answer ends; none for free text.
        tool_schemas: The client's own parameter schemas, by tool.
        messages: The conversation as the client sent it, where it is to be kept.
    """

    include_usage: bool = False
    legacy_functions: bool = False
    answer_format: AnswerFormat | None = None
    tool_schemas: Mapping[str, JSONObject] = field(default_factory=dict)
    messages: JSON = None
