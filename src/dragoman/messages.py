"""The conversation as the whole gateway holds it: Messages API JSON, as plain dictionaries.

Owned by us, not the vendor's classes: a key or block that does not exist yet must survive. The types name the parts
that we read; every dictionary may hold more.

Source: https://platform.claude.com/docs/en/api/messages
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict, cast

from dragoman.agents import AgentTask

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
JSONObject: TypeAlias = dict[str, JSON]

Block: TypeAlias = JSONObject
"""A content block: `{"type": "text" | "image" | "tool_use" | …, …}`."""

Role: TypeAlias = Literal["user", "assistant", "system"]


class Message(TypedDict):
    """One turn. Content is always a list of blocks here, never a bare string."""

    role: Role
    content: list[Block]


class BareText(list[Block]):
    """Content that came as a bare string: a list of one text block, or of none, that knows it was one.

    So everything inside sees lists only, and the API still gets what the client wrote; see `as_sent`.
    """

    def __init__(self, text: str) -> None:
        super().__init__([{"type": "text", "text": text}] if text else [])


class ThinkingConfig(TypedDict, total=False):
    """`thinking` of a request."""

    type: str
    budget_tokens: int
    display: str


class OutputConfig(TypedDict, total=False):
    """`output_config` of a request."""

    effort: str
    format: JSONObject


class MessagesRequest(TypedDict, total=False):
    """The body of `POST /v1/messages`, in canonical form: system and contents as lists of blocks."""

    model: str
    messages: list[Message]
    system: list[Block]
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    stop_sequences: list[str]
    tools: list[JSONObject]
    tool_choice: JSONObject
    thinking: ThinkingConfig
    output_config: OutputConfig
    metadata: JSONObject


@dataclass(frozen=True, slots=True)
class Terms:
    """What a client says beside the body.

    Attributes:
        version: The `anthropic-version` it speaks; None: whichever the backend speaks.
        betas: The betas it asks for.
        verbatim: It speaks the Messages API itself, and its conversation goes on as it sent it: it keeps thinking
            itself, and goes on itself where the API paused.
        agent: It wants Claude to work with tools of its own, in any number of API calls.
    """

    version: str | None = None
    betas: tuple[str, ...] = ()
    verbatim: bool = False
    agent: AgentTask | None = None


NO_TERMS = Terms()
"""Of clients of other dialects."""


class Usage(TypedDict, total=False):
    """Token counts as the API reports them."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: dict[str, int]


class FinalMessage(TypedDict, total=False):
    """A whole assistant message, as a plain (not streamed) call answers it."""

    id: str
    type: str
    role: str
    model: str
    content: list[Block]
    stop_reason: str | None
    stop_sequence: str | None
    stop_details: JSONObject | None
    usage: Usage


def as_sent(body: MessagesRequest) -> JSONObject:
    """The body as the client wrote it: what came as a bare string is one again.

    Args:
        body: The canonical request; it is not changed.
    """
    made = cast("JSONObject", dict(body))
    made["messages"] = [cast("JSON", _with_content(message)) for message in body["messages"]]
    if type(system := body.get("system")) is BareText:
        made["system"] = _bare(system)
    return made


def _with_content(message: Message) -> object:
    content = message["content"]
    return {**message, "content": _bare(content)} if type(content) is BareText else message


def _bare(content: list[Block]) -> JSON:
    return content[0]["text"] if content else ""
