"""Messages API JSON as plain dictionaries: the form in which the whole gateway holds a conversation.

The types are our own, not those of the vendor's package: a key or block type that does not exist yet must survive. They
name the parts that the gateway reads; every dictionary may contain more.

Source: https://platform.claude.com/docs/en/api/messages
"""

import json
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Literal, TypeAlias, TypedDict, cast

from dragoman.core.shaping import NO_SHAPING, ResponseShaping
from dragoman.core.trace_context import TraceContext
from dragoman.core.value_object import value_object

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character outside the basic plane. JSON can contain it as an escape, but UTF-8 cannot encode it."""
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
JSONObject: TypeAlias = dict[str, JSON]

Block: TypeAlias = JSONObject
"""A content block: `{"type": "text" | "image" | "tool_use" | …, …}`."""

Role: TypeAlias = Literal["user", "assistant", "system"]


class Message(TypedDict):
    """One message. Its content is always a list of blocks, never a bare string."""

    role: Role
    content: list[Block]


class BareText(list[Block]):
    """Content that came as a bare string: a list of one text block, or of no block for an empty string.

    The gateway only handles lists, and the API still gets what the client wrote; see `as_sent`.
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
    """The body of `POST /v1/messages` in canonical form: system prompt and contents are lists of blocks."""

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


class Usage(TypedDict, total=False):
    """Token counts as the API reports them."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: dict[str, int]


class FinalMessage(TypedDict, total=False):
    """A complete assistant message, as a call without streaming returns it."""

    id: str
    type: str
    role: str
    model: str
    content: list[Block]
    stop_reason: str | None
    stop_sequence: str | None
    stop_details: JSONObject | None
    usage: Usage


@value_object(kw_only=True)
class AgentTask:
    """A client's request for an agent: Claude with tools of its own, in a directory of this machine.

    The values are the client's. The backend checks what is allowed.

    Attributes:
        working_directory: Where the agent works; None: the directory that the operator allows, if there is only one.
        permission_mode: What it may do without asking.
        tools: Names of its tools; None: the default tools.
        add_dirs: Further directories that it may use.
        mcp_servers: Servers of further tools, by name, in the form of the Model Context Protocol's configuration files.
        max_turns: Maximum rounds of tool calls; None: no limit.
        max_budget_usd: Maximum cost; None: the operator's limit.
    """

    working_directory: str | None = None
    permission_mode: str = "default"
    tools: tuple[str, ...] | None = None
    add_dirs: tuple[str, ...] = ()
    mcp_servers: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    max_turns: int | None = None
    max_budget_usd: float | None = None


@value_object
class RequestOptions:
    """What a client asks for outside the body.

    Attributes:
        version: Its `anthropic-version`; None: the backend's own.
        betas: The betas that it asks for.
        verbatim: Whether it uses the Messages API and its conversation is sent as it is. Such a client keeps thinking
            itself, and continues paused responses itself.
        agent: The task for an agent, which makes any number of API calls.
        shaping: What to change in the response.
        large: Whether the body is so large that encoding it delays other requests: it is done in a thread.
        trace: The trace that it belongs to; None: spans are not sent, and the client names none.
    """

    version: str | None = None
    betas: tuple[str, ...] = ()
    verbatim: bool = False
    agent: AgentTask | None = None
    shaping: ResponseShaping = NO_SHAPING
    large: bool = False
    trace: TraceContext | None = None


DEFAULT_REQUEST_OPTIONS = RequestOptions()
"""The options of clients that cannot send any."""


def parse_arguments(text: str) -> JSON:
    """Parse the arguments of a tool call as a model writes them.

    Args:
        text: JSON, unless the response was cut off.

    Returns:
        The value, without lone surrogates, which could not be sent on; the text itself if it is not JSON.
    """
    try:
        value = cast("JSON", json.loads(text))
    except (ValueError, RecursionError):
        return text
    return _without_lone_surrogates(value) if r"\ud" in text or r"\uD" in text else value


def _without_lone_surrogates(value: JSON) -> JSON:
    match value:
        case str():
            return _LONE_SURROGATE.sub(_REPLACEMENT, value)
        case list():
            return [_without_lone_surrogates(item) for item in value]
        case dict():
            return {
                _LONE_SURROGATE.sub(_REPLACEMENT, key): _without_lone_surrogates(item) for key, item in value.items()
            }
        case _:
            return value
