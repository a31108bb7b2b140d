"""What a client asks of an agent: Claude at work with tools of its own, in a directory of this machine.

The conversation as the whole gateway holds it: Messages API JSON, as plain dictionaries.

Owned by us, not the vendor's classes: a key or block that does not exist yet must survive. The types name the parts
that we read; every dictionary may hold more.

Source: https://platform.claude.com/docs/en/api/messages

The arguments of a tool call, as a model writes them: JSON, if nothing went wrong.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypedDict, cast


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTask:
    """A wish for an agent, as the client wrote it. Nothing of it is allowed before a backend has checked it.

    Attributes:
        working_directory: Where it works; None: where the owner lets agents work, if that is one directory.
        permission_mode: What it may do without being asked.
        tools: Names of the tools that it has; None: the usual ones.
        add_dirs: Further directories that it may use.
        mcp_servers: Servers of further tools, by name, as the Model Context Protocol's configuration files hold them.
        max_turns: The most rounds of calling tools; None: no limit.
        max_budget_usd: The most it may cost; None: what the owner lets it.
    """

    working_directory: str | None = None
    permission_mode: str = "default"
    tools: tuple[str, ...] | None = None
    add_dirs: tuple[str, ...] = ()
    mcp_servers: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    max_turns: int | None = None
    max_budget_usd: float | None = None


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
class RequestOptions:
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


DEFAULT_REQUEST_OPTIONS = RequestOptions()
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


_HALF = re.compile("[\ud800-\udfff]")
"""Half a character outside the basic plane. As an escape it is JSON, but there are no bytes for it."""
_LOST = "\N{REPLACEMENT CHARACTER}"


def parse_arguments(text: str) -> JSON:
    """What a text says; where it is no JSON, as in an answer that was cut, the text itself.

    Args:
        text: The arguments.
    """
    try:
        value = cast("JSON", json.loads(text))
    except (ValueError, RecursionError):
        return text
    return _whole(value) if r"\ud" in text or r"\uD" in text else value


def _whole(value: JSON) -> JSON:
    """The value without halves of characters, which nobody could send on."""
    match value:
        case str():
            return _HALF.sub(_LOST, value)
        case list():
            return [_whole(item) for item in value]
        case dict():
            return {_HALF.sub(_LOST, key): _whole(item) for key, item in value.items()}
        case _:
            return value
