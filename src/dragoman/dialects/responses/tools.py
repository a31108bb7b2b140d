"""The tools of a request: functions, custom tools and web search.

A custom tool takes free text. Claude gets it as a function with the text as its only argument.
"""

import json
import re
from collections.abc import Iterable
from typing import assert_never, cast

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.responses.schema import (
    WEB_SEARCH_TYPES,
    CreateResponse,
    CustomTool,
    FunctionTool,
    NamedChoice,
    OtherTool,
    Tool,
    WebSearchTool,
)
from dragoman.dialects.shared.tools import (
    WEB_SEARCH,
    Function,
    PropertyNames,
    ToolChoice,
    Toolset,
    allowed_tools,
    tools_by_name,
    web_search_tool,
)

_TEXT_ARGUMENT = "input"
_CUT_ARGUMENTS = re.compile(rf'\s*\{{\s*"{_TEXT_ARGUMENT}"\s*:\s*"(?P<text>.*)', re.DOTALL)
_MAX_ESCAPE_LENGTH = len(r"\ud83e\udd8a")  # a surrogate pair; a cut can fall inside it


def build_toolset(request: CreateResponse, warnings: list[RequestWarning]) -> Toolset:
    """Convert the tools of a request.

    Raises:
        InvalidRequest: A tool or the tool choice is invalid; `param` names it.
        UnsupportedFeature: The tool choice names a tool of an unsupported type.
    """
    functions: list[Function] = []
    searches: list[tuple[str, WebSearchTool]] = []
    unsupported: list[RequestWarning] = []
    for index, tool in enumerate(request.tools or ()):
        path = f"tools[{index}]"
        match tool:
            case FunctionTool():
                functions.append(Function(path, tool.name, tool.parameters, tool.description, tool.strict))
            case CustomTool():
                functions.append(Function(path, tool.name, _custom_parameters(tool), tool.description))
            case WebSearchTool():
                searches.append((path, tool))
            case OtherTool():
                detail = f"Tools of type `{tool.kind}` are not supported; the model does not get this tool."
                unsupported.append(RequestWarning("ignored", f"{path}.type", detail))
            case _:
                assert_never(tool)
    renamed: PropertyNames = {}
    by_name = tools_by_name(functions, warnings, renamed)
    for path, search in searches:
        if WEB_SEARCH in by_name:
            detail = f"Only one tool may be named `{WEB_SEARCH}`. Rename the function, or remove one of the tools."
            raise InvalidRequest(detail, param=path)
        by_name[WEB_SEARCH] = _web_search(search, request.max_tool_calls, path, warnings)
    warnings += unsupported
    choice = _tool_choice(request.tool_choice)
    schemas = {function.name: function.parameters or {} for function in functions}
    return Toolset(allowed_tools(by_name, choice), choice, schemas, request.parallel_tool_calls, renamed)


def custom_tool_names(tools: Iterable[Tool] | None) -> frozenset[str]:
    """Return the names of the tools that take free text."""
    return frozenset(tool.name for tool in tools or () if isinstance(tool, CustomTool))


def custom_tool_arguments(text: str) -> JSONObject:
    """Return the arguments of the function that represents a custom tool."""
    return {_TEXT_ARGUMENT: text}


def custom_tool_text(block: Block) -> str:
    """Return the text of a custom tool call.

    The call may be cut, or its arguments may not fit the schema: then the result is as much text as can be read.
    """
    arguments = block.get("input")
    if isinstance(arguments, dict):
        text = arguments.get(_TEXT_ARGUMENT)
        if isinstance(text, str):
            return text
        return json.dumps(arguments, ensure_ascii=False) if arguments else ""
    cut = _CUT_ARGUMENTS.match(str(arguments or ""))
    return _decode_cut_string(cut["text"]) if cut else ""


def _decode_cut_string(text: str) -> str:
    """Decode as much of a cut JSON string as can be read."""
    for removed in range(min(_MAX_ESCAPE_LENGTH, len(text)) + 1):
        try:
            return str(json.loads(f'"{text[: len(text) - removed]}"', strict=False)).encode().decode()
        except ValueError:
            continue
    return ""


def _custom_parameters(tool: CustomTool) -> JSONObject:
    # Stored thinking is bound to these words: a change makes it invalid.
    text: JSONObject = {"type": "string", "description": "The tool's whole input, as plain text."}
    if tool.format and tool.format.definition:
        grammar = f"({tool.format.syntax or 'grammar'})\n{tool.format.definition}"
        text["description"] = f"The tool's whole input, as plain text that fits this grammar:\n\n{grammar}"
    return {
        "type": "object",
        "properties": {_TEXT_ARGUMENT: text},
        "required": [_TEXT_ARGUMENT],
        "additionalProperties": False,
    }


def _web_search(tool: WebSearchTool, max_uses: int | None, path: str, warnings: list[RequestWarning]) -> JSONObject:
    location = tool.user_location
    known = {key: getattr(location, key) for key in ("city", "country", "region", "timezone")} if location else {}
    search = web_search_tool(known, tool.search_context_size, path, warnings)
    if tool.filters and tool.filters.allowed_domains:
        search["allowed_domains"] = cast("JSON", tool.filters.allowed_domains)
    if max_uses is not None:
        search["max_uses"] = max_uses
    return search


def _tool_choice(choice: str | NamedChoice | None) -> ToolChoice:
    match choice:
        case None:
            return ToolChoice()
        case "required":
            return ToolChoice("any")
        case str(kind):
            return ToolChoice(kind)
        case NamedChoice(type="allowed_tools", mode=mode, tools=tools):
            names = frozenset(_allowed_tool_name(tool, index) for index, tool in enumerate(tools or ()))
            return ToolChoice("any" if mode == "required" else "auto", allowed=names)
        case NamedChoice():
            return ToolChoice("tool", _chosen_tool_name(choice.type, choice.name, "tool_choice"))


def _allowed_tool_name(tool: JSONObject, index: int) -> str:
    name = tool.get("name")
    path = f"tool_choice.tools[{index}]"
    return _chosen_tool_name(str(tool.get("type")), name if isinstance(name, str) else None, path)


def _chosen_tool_name(tool_type: str, name: str | None, path: str) -> str:
    if tool_type in WEB_SEARCH_TYPES:
        return WEB_SEARCH
    if tool_type not in ("function", "custom"):
        detail = f"`{path}.type` is `{tool_type[:60]}`; only functions, custom tools and web search can be chosen."
        raise UnsupportedFeature(detail, param=f"{path}.type")
    if not name:
        raise InvalidRequest(
            f"Missing required parameter: `{path}.name`.", code="missing_required_parameter", param=f"{path}.name"
        )
    return name
