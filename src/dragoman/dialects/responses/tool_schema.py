"""The tools of a responses request.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragoman.dialects.shared.json_types import JSON, JSONObject


class FunctionTool(Struct, tag_field="type", tag="function"):
    """A function that the model may call."""

    name: Annotated[str, Meta(description="Letters, digits, `_` and `-`, up to 128.")]
    description: str | None = None
    parameters: Annotated[JSONObject, Meta(description="A JSON schema.")] | None = None
    strict: bool | None = None
    defer_loading: Annotated[bool, Meta(description="Claude gets deferred tools at once.")] | None = None


class CustomFormat(Struct):
    """The format of a custom tool's input: any text, or text that fits a grammar."""

    type: str = "text"
    syntax: str | None = None
    definition: str | None = None


class CustomTool(Struct, tag_field="type", tag="custom"):
    """A tool that takes free text. Its grammar is sent to Claude as a description."""

    name: str
    description: str | None = None
    format: CustomFormat | None = None
    defer_loading: bool | None = None


class UserLocation(Struct):
    """The user's approximate location."""

    type: str = "approximate"
    country: str | None = None
    region: str | None = None
    city: str | None = None
    timezone: str | None = None


class SearchFilters(Struct):
    """Limits on the sites that a web search covers."""

    allowed_domains: list[str] | None = None


class WebSearchTool(Struct, tag_field="type", tag="web_search"):
    """Web search. Claude's own server tool runs it."""

    filters: SearchFilters | None = None
    user_location: UserLocation | None = None
    search_context_size: str | None = None
    external_web_access: bool | None = None


class ToolSearchTool(Struct, tag_field="type", tag="tool_search"):
    """A search for tools that the request does not contain. The client runs it.

    A search that OpenAI would run is not needed: Claude gets deferred tools at once.
    """

    execution: Literal["server", "client"] | None = None
    description: str | None = None
    parameters: Annotated[JSONObject, Meta(description="A JSON schema.")] | None = None


class LocalShellTool(Struct, tag_field="type", tag="local_shell"):
    """A shell on the client's machine. The client runs the commands."""


class ShellTool(Struct, tag_field="type", tag="shell"):
    """A shell in an environment that the client chooses. Only the client's own (`local`) is supported."""

    environment: JSONObject | None = None


class ApplyPatchTool(Struct, tag_field="type", tag="apply_patch"):
    """Changes to files. The client applies them."""


class OtherTool(Struct, tag_field="type", tag="other"):
    """A tool of an unsupported type. Ignored with a warning."""

    kind: str | None = None


class NamespaceTool(Struct, tag_field="type", tag="namespace"):
    """A group of tools. A call names its tool and its namespace."""

    name: str
    tools: list[FunctionTool | CustomTool | OtherTool]
    description: str | None = None


Tool = (
    FunctionTool
    | CustomTool
    | NamespaceTool
    | WebSearchTool
    | ToolSearchTool
    | LocalShellTool
    | ShellTool
    | ApplyPatchTool
    | OtherTool
)
WEB_SEARCH_TYPES = frozenset(
    {"web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"}
)
"""All values of `type` that OpenAI uses for its web search tool."""
TOOL_TYPES = frozenset(str(tool.__struct_config__.tag) for tool in Tool.__args__) - {"other"} | WEB_SEARCH_TYPES
"""The supported values of a tool's `type`."""
NAMESPACED_TYPES = frozenset({"function", "custom"})
"""The supported values of the `type` of a tool in a namespace."""


class NamedChoice(Struct):
    """A tool choice as an object: one tool, by type and name, or a list of allowed tools."""

    type: str
    name: str | None = None
    namespace: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[JSONObject] | None = None


ToolChoiceField = Literal["none", "auto", "required"] | NamedChoice


def normalize_tools(tools: JSON) -> JSON:
    """Return tools with a `type` that the schema knows: unsupported ones are `other`."""
    return [_normalize_tool(tool, TOOL_TYPES) for tool in tools] if isinstance(tools, list) else tools


def _normalize_tool(tool: JSON, known_types: frozenset[str]) -> JSON:
    tool_type = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(tool, dict) or not isinstance(tool_type, str):
        return tool
    if tool_type not in known_types:
        return {"type": "other", "kind": tool_type}
    if tool_type in WEB_SEARCH_TYPES:
        return {**tool, "type": "web_search"}
    if tool_type == "namespace" and isinstance(inner := tool.get("tools"), list):
        return {**tool, "tools": [_normalize_tool(one, NAMESPACED_TYPES) for one in inner]}
    return tool
