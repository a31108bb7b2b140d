"""Tools, tool choice and answer format of a chat completions request."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragoman.wire.json_types import JSON, JSONObject


class FunctionDefinition(Struct):
    """A function that the model may call."""

    name: Annotated[str, Meta(description="Letters, digits, `_` and `-`, up to 64.")]
    description: str | None = None
    parameters: Annotated[JSONObject, Meta(description="A JSON schema.")] | None = None
    strict: bool | None = None


class FunctionTool(Struct, tag_field="type", tag="function"):
    """A tool."""

    function: FunctionDefinition
    cache_control: JSONObject | None = None


class CustomTool(Struct, tag_field="type", tag="custom"):
    """A tool that takes free text: refused by name."""

    custom: JSON = None


class FunctionName(Struct):
    """A function's name."""

    name: str


class NamedToolChoice(Struct, tag_field="type", tag="function"):
    """This tool and no other."""

    function: FunctionName


class CustomToolChoice(Struct, tag_field="type", tag="custom"):
    """A custom tool: refused by name."""

    custom: JSON = None


class AllowedTool(Struct):
    """One of the allowed tools."""

    function: FunctionName
    type: str = "function"


class AllowedTools(Struct):
    """Some of the tools."""

    mode: Literal["auto", "required"]
    tools: list[AllowedTool]


class AllowedToolsChoice(Struct, tag_field="type", tag="allowed_tools"):
    """Only these tools."""

    allowed_tools: AllowedTools


ToolChoice = Literal["none", "auto", "required"] | NamedToolChoice | CustomToolChoice | AllowedToolsChoice
LegacyChoice = Literal["none", "auto"] | FunctionName


class SchemaFormat(Struct):
    """A named JSON schema."""

    name: str | None = None
    description: str | None = None
    schema: JSONObject | None = None
    strict: bool | None = None


class TextFormat(Struct, tag_field="type", tag="text"):
    """Plain text."""


class JSONObjectFormat(Struct, tag_field="type", tag="json_object"):
    """Any JSON object."""


class JSONSchemaFormat(Struct, tag_field="type", tag="json_schema"):
    """JSON that fits a schema."""

    json_schema: SchemaFormat


ResponseFormat = TextFormat | JSONObjectFormat | JSONSchemaFormat


class Location(Struct):
    """Roughly where the user is."""

    country: str | None = None
    region: str | None = None
    city: str | None = None
    timezone: str | None = None


class UserLocation(Struct):
    """Where the user is."""

    approximate: Location
    type: str = "approximate"


class WebSearchOptions(Struct):
    """How to search the web."""

    user_location: UserLocation | None = None
    search_context_size: str | None = None
