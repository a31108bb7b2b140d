"""Custom tools: they take free text, which Claude gives as the one argument of a function.

The tools of a request: functions, custom tools as functions of one text, and web search.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import cast

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.responses.schema import (
    WEB_SEARCHES,
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
    Toolbox,
    ToolChoice,
    offer_tools,
    tools_by_name,
    web_search,
)

_ARGUMENT = "input"
_CUT = re.compile(rf'\s*\{{\s*"{_ARGUMENT}"\s*:\s*"(?P<rest>.*)', re.DOTALL)
_LONGEST_ESCAPE = 12
"""Two halves of a character outside the basic plane, `\\ud83e\\udd8a`: what a cut may leave a piece of."""


def parameters(tool: CustomTool) -> JSONObject:
    """The schema of the function that stands for a custom tool."""
    text: JSONObject = {"type": "string", "description": "The tool's whole input, as plain text."}
    if grammar := _grammar(tool):
        text["description"] = f"The tool's whole input, as plain text that fits this grammar:\n\n{grammar}"
    return {
        "type": "object",
        "properties": {_ARGUMENT: text},
        "required": [_ARGUMENT],
        "additionalProperties": False,
    }


def _grammar(tool: CustomTool) -> str | None:
    if tool.format is None or not tool.format.definition:
        return None
    return f"({tool.format.syntax or 'grammar'})\n{tool.format.definition}"


def as_input(text: str) -> JSONObject:
    """The arguments of a call that was made before."""
    return {_ARGUMENT: text}


def text_of(block: Block) -> str:
    """What a call gives its tool: also where the answer was cut, or where Claude did not keep to the schema."""
    given = block.get("input")
    if isinstance(given, dict):
        text = given.get(_ARGUMENT)
        if isinstance(text, str):
            return text
        return json.dumps(given, ensure_ascii=False) if given else ""
    cut = _CUT.match(str(given or ""))
    return _readable(cut["rest"]) if cut else ""


def _readable(rest: str) -> str:
    """As much of a cut JSON string as can be read."""
    for shorter in range(min(_LONGEST_ESCAPE, len(rest)) + 1):
        try:
            return str(json.loads(f'"{rest[: len(rest) - shorter]}"', strict=False)).encode().decode()
        except ValueError:
            continue
    return ""


def toolbox(request: CreateResponse, warnings: list[RequestWarning]) -> Toolbox:
    """Read the tools of a request.

    Raises:
        InvalidRequest: A tool, or the choice of one, is not possible; `param` names it.
    """
    functions = list(_functions(request.tools or ()))
    by_name = tools_by_name(functions, warnings)
    by_name.update(_searches(request, by_name, warnings))
    warnings += _left_out(request.tools or ())
    wanted = _choice(request.tool_choice)
    schemas = {function.name: function.parameters or {} for function in functions}
    return Toolbox(offer_tools(by_name, wanted), wanted, schemas, request.parallel_tool_calls)


def custom_names(tools: Iterable[Tool] | None) -> frozenset[str]:
    """The names of the tools that take free text."""
    return frozenset(tool.name for tool in tools or () if isinstance(tool, CustomTool))


def _functions(tools: Iterable[Tool]) -> Iterator[Function]:
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        if isinstance(tool, FunctionTool):
            yield Function(path, tool.name, tool.parameters, tool.description, tool.strict)
        elif isinstance(tool, CustomTool):
            yield Function(path, tool.name, parameters(tool), tool.description)


def _searches(
    request: CreateResponse, others: dict[str, JSONObject], warnings: list[RequestWarning]
) -> Iterator[tuple[str, JSONObject]]:
    for index, tool in enumerate(request.tools or ()):
        if isinstance(tool, WebSearchTool):
            path = f"tools[{index}]"
            if WEB_SEARCH in others:
                raise InvalidRequest("A tool may not be named `web_search` beside OpenAI's own.", param=path)
            yield WEB_SEARCH, _search(tool, request.max_tool_calls, path, warnings)


def _search(tool: WebSearchTool, most: int | None, path: str, warnings: list[RequestWarning]) -> JSONObject:
    place = tool.user_location
    known = {key: getattr(place, key) for key in ("city", "country", "region", "timezone")} if place else {}
    made = web_search(known, tool.search_context_size, path, warnings)
    if tool.filters and tool.filters.allowed_domains:
        made["allowed_domains"] = cast("JSON", tool.filters.allowed_domains)
    if most is not None:
        made["max_uses"] = most
    return made


def _left_out(tools: Iterable[Tool]) -> Iterator[RequestWarning]:
    for index, tool in enumerate(tools):
        if isinstance(tool, OtherTool):
            detail = f"There are no tools of type `{tool.kind}`; the model does not get this one."
            yield RequestWarning("ignored", f"tools[{index}].type", detail)


def _choice(asked: str | NamedChoice | None) -> ToolChoice:
    match asked:
        case None:
            return ToolChoice()
        case "required":
            return ToolChoice("any")
        case str(kind):
            return ToolChoice(kind)
        case NamedChoice(type="allowed_tools", mode=mode, tools=tools):
            names = frozenset(_allowed(tool, index) for index, tool in enumerate(tools or ()))
            return ToolChoice("any" if mode == "required" else "auto", only=names)
        case NamedChoice():
            return ToolChoice("tool", _name(asked.type, asked.name, "tool_choice"))


def _allowed(tool: JSONObject, index: int) -> str:
    name = tool.get("name")
    return _name(str(tool.get("type")), name if isinstance(name, str) else None, f"tool_choice.tools[{index}]")


def _name(kind: str, name: str | None, path: str) -> str:
    if kind in WEB_SEARCHES:
        return WEB_SEARCH
    if kind not in ("function", "custom"):
        raise UnsupportedFeature(f"There are no tools of type `{kind[:60]}`.", param=f"{path}.type")
    if not name:
        raise InvalidRequest(
            f"Missing required parameter: `{path}.name`.", code="missing_required_parameter", param=f"{path}.name"
        )
    return name
