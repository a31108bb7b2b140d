"""The tools of a request: functions, custom tools as functions of one text, and web search."""

from collections.abc import Iterable, Iterator
from typing import cast

from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.messages import JSON, JSONObject
from dragoman.notices import Notice
from dragoman.wire.openai_responses import custom
from dragoman.wire.openai_responses.schema import CreateResponse
from dragoman.wire.openai_responses.tool_schema import (
    WEB_SEARCHES,
    CustomTool,
    FunctionTool,
    NamedChoice,
    OtherTool,
    Tool,
    WebSearchTool,
)
from dragoman.wire.tools import WEB_SEARCH, Function, Toolbox, Wanted, offered, tools_by_name, web_search


def toolbox(request: CreateResponse, notices: list[Notice]) -> Toolbox:
    """Read the tools of a request.

    Raises:
        InvalidRequest: A tool, or the choice of one, is not possible; `param` names it.
    """
    functions = list(_functions(request.tools or ()))
    by_name = tools_by_name(functions, notices)
    by_name.update(_searches(request, by_name, notices))
    notices += _left_out(request.tools or ())
    wanted = _choice(request.tool_choice)
    schemas = {function.name: function.parameters or {} for function in functions}
    return Toolbox(offered(by_name, wanted), wanted, schemas, request.parallel_tool_calls)


def custom_names(tools: Iterable[Tool] | None) -> frozenset[str]:
    """The names of the tools that take free text."""
    return frozenset(tool.name for tool in tools or () if isinstance(tool, CustomTool))


def _functions(tools: Iterable[Tool]) -> Iterator[Function]:
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        if isinstance(tool, FunctionTool):
            yield Function(path, tool.name, tool.parameters, tool.description, tool.strict)
        elif isinstance(tool, CustomTool):
            yield Function(path, tool.name, custom.parameters(tool), tool.description)


def _searches(
    request: CreateResponse, others: dict[str, JSONObject], notices: list[Notice]
) -> Iterator[tuple[str, JSONObject]]:
    for index, tool in enumerate(request.tools or ()):
        if isinstance(tool, WebSearchTool):
            path = f"tools[{index}]"
            if WEB_SEARCH in others:
                raise InvalidRequest("A tool may not be named `web_search` beside OpenAI's own.", param=path)
            yield WEB_SEARCH, _search(tool, request.max_tool_calls, path, notices)


def _search(tool: WebSearchTool, most: int | None, path: str, notices: list[Notice]) -> JSONObject:
    place = tool.user_location
    known = {key: getattr(place, key) for key in ("city", "country", "region", "timezone")} if place else {}
    made = web_search(known, tool.search_context_size, path, notices)
    if tool.filters and tool.filters.allowed_domains:
        made["allowed_domains"] = cast("JSON", tool.filters.allowed_domains)
    if most is not None:
        made["max_uses"] = most
    return made


def _left_out(tools: Iterable[Tool]) -> Iterator[Notice]:
    for index, tool in enumerate(tools):
        if isinstance(tool, OtherTool):
            detail = f"There are no tools of type `{tool.kind}`; the model does not get this one."
            yield Notice("ignored", f"tools[{index}].type", detail)


def _choice(asked: str | NamedChoice | None) -> Wanted:
    match asked:
        case None:
            return Wanted()
        case "required":
            return Wanted("any")
        case str(kind):
            return Wanted(kind)
        case NamedChoice(type="allowed_tools", mode=mode, tools=tools):
            names = frozenset(_allowed(tool, index) for index, tool in enumerate(tools or ()))
            return Wanted("any" if mode == "required" else "auto", only=names)
        case NamedChoice():
            return Wanted("tool", _name(asked.type, asked.name, "tool_choice"))


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
