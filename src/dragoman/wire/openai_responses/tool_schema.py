"""Tools, tool choice and text format of a responses request."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragoman.wire.json_types import JSONObject


class FunctionTool(Struct, tag_field="type", tag="function"):
    """A function that the model may call."""

    name: Annotated[str, Meta(description="Letters, digits, `_` and `-`, up to 64.")]
    description: str | None = None
    parameters: Annotated[JSONObject, Meta(description="A JSON schema.")] | None = None
    strict: bool | None = None


class CustomFormat(Struct):
    """What a custom tool's text must be: anything, or what a grammar allows."""

    type: str = "text"
    syntax: str | None = None
    definition: str | None = None


class CustomTool(Struct, tag_field="type", tag="custom"):
    """A tool that takes free text. Claude is told its grammar in words."""

    name: str
    description: str | None = None
    format: CustomFormat | None = None


class Place(Struct):
    """Roughly where the user is."""

    type: str = "approximate"
    country: str | None = None
    region: str | None = None
    city: str | None = None
    timezone: str | None = None


class Filters(Struct):
    """Where to search."""

    allowed_domains: list[str] | None = None


class WebSearchTool(Struct, tag_field="type", tag="web_search"):
    """Search of the web, by Claude's own tool."""

    filters: Filters | None = None
    user_location: Place | None = None
    search_context_size: str | None = None


class OtherTool(Struct, tag_field="type", tag="other"):
    """A tool of a kind that is not to be had: left out, with a warning."""

    kind: str | None = None


Tool = FunctionTool | CustomTool | WebSearchTool | OtherTool
WEB_SEARCHES = frozenset({"web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"})
"""The names that OpenAI has given its search."""
KINDS = frozenset({"function", "custom", *WEB_SEARCHES})


class NamedChoice(Struct):
    """One tool, by its kind and, where it has one, its name."""

    type: str
    name: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[JSONObject] | None = None


ToolChoice = Literal["none", "auto", "required"] | NamedChoice


class TextFormat(Struct, tag_field="type", tag="text"):
    """Plain text."""


class JSONObjectFormat(Struct, tag_field="type", tag="json_object"):
    """Any JSON object."""


class JSONSchemaFormat(Struct, tag_field="type", tag="json_schema"):
    """JSON that fits a schema."""

    schema: JSONObject
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class TextOptions(Struct):
    """What the text should be like."""

    format: TextFormat | JSONObjectFormat | JSONSchemaFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningOptions(Struct):
    """How to think."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class ResponseStreamOptions(Struct):
    """How to stream."""

    include_obfuscation: bool | None = None
