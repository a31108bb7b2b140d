"""Tools and tool choice: the functions of a chat are native tools of the model, never prompt text."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from dragoman.catalog import Model
from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.messages import JSONObject, MessagesRequest
from dragoman.notices import Notice
from dragoman.wire.json_schemas import UNIONS, closed, tool_input
from dragoman.wire.openai_chat.schema import ChatCompletionRequest
from dragoman.wire.openai_chat.tool_schema import (
    AllowedToolsChoice,
    CustomTool,
    CustomToolChoice,
    FunctionDefinition,
    FunctionName,
    FunctionTool,
    NamedToolChoice,
    WebSearchOptions,
)

WEB_SEARCH = "web_search"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class _Defined:
    """A function of the request, with its cache mark and its place."""

    function: FunctionDefinition
    mark: JSONObject | None
    path: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tools the model may or must use.

    Attributes:
        kind: `auto`, `none`, `any` or `tool`, as the API says it; none where the client said nothing.
        name: The tool, if `kind` is `tool`.
        only: The tools that may be used, if not all.
        param: Where the client said so.
    """

    kind: str | None = None
    name: str | None = None
    only: frozenset[str] | None = None
    param: str = "tool_choice"

    @property
    def forced(self) -> bool:
        """Whether a tool must be called."""
        return self.kind in ("any", "tool")


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools of a request, ready for the body.

    Attributes:
        tools: Definitions, as the API takes them.
        schemas: The client's own parameter schemas, by name.
        wanted: Which may or must be used.
        legacy: Whether the client speaks of functions, not of tools.
    """

    tools: list[JSONObject]
    wanted: Wanted
    schemas: dict[str, JSONObject] = field(default_factory=dict)
    legacy: bool = False


def toolbox(request: ChatCompletionRequest, notices: list[Notice]) -> Toolbox:
    """Read the tools of a request.

    Raises:
        InvalidRequest: A tool, or the choice of one, is not possible; `param` names it.
    """
    legacy = not request.tools and bool(request.functions)
    wanted = _legacy_choice(request) if legacy else _choice(request)
    defined = _definitions(request, legacy=legacy)
    tools = {name: _tool(one, notices) for name, one in defined.items()}
    _check(wanted, tools)
    offered = [tool for name, tool in tools.items() if wanted.only is None or name in wanted.only]
    if request.web_search_options is not None:
        if WEB_SEARCH in tools:
            raise InvalidRequest("A tool may not be named `web_search` beside `web_search_options`.", param="tools")
        offered.append(_web_search(request.web_search_options, notices))
    schemas = {name: one.function.parameters or {} for name, one in defined.items()}
    return Toolbox(offered, wanted, schemas, legacy)


def set_tools(body: MessagesRequest, box: Toolbox, called: Iterable[str], *, parallel: bool | None) -> None:
    """Put tools and choice into the body.

    Args:
        body: The request.
        box: The tools.
        called: Names of the tools that the conversation already called; the API wants some tool where there are calls.
        parallel: Whether one message may hold several calls; none for the API's default.
    """
    if box.tools:
        body["tools"] = box.tools
        if choice := _api_choice(box, parallel=parallel):
            body["tool_choice"] = choice
    elif names := list(called):
        body["tools"] = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in names]
        body["tool_choice"] = {"type": "none"}


def soften(wanted: Wanted, model: Model, notices: list[Notice]) -> tuple[Wanted, str | None]:
    """What to send where a model refuses to be forced: the choice is its own, and an instruction asks for the tool.

    Returns:
        The choice, and the instruction if there is one.
    """
    if not wanted.forced or model.forced_tools:
        return wanted, None
    notices.append(
        Notice("mapped", wanted.param, f"{model.name} cannot be forced to call a tool; it was told to in words.")
    )
    which = f"the tool `{wanted.name}`" if wanted.name else "at least one of the tools"
    instruction = f"You must answer by calling {which}. Do not answer in words alone."
    return Wanted("auto", only=wanted.only, param=wanted.param), instruction


def _definitions(request: ChatCompletionRequest, *, legacy: bool) -> dict[str, _Defined]:
    found: dict[str, _Defined] = {}
    for index, tool in enumerate((request.functions if legacy else request.tools) or ()):
        match tool:
            case FunctionDefinition():
                defined = _Defined(tool, None, f"functions[{index}]")
            case FunctionTool():
                defined = _Defined(tool.function, tool.cache_control, f"tools[{index}].function")
            case CustomTool():
                raise UnsupportedFeature("Only tools of type `function` are supported.", param=f"tools[{index}].type")
            case _:
                assert_never(tool)
        if defined.function.name in found:
            raise InvalidRequest(f"Two tools are named `{defined.function.name}`.", param=f"{defined.path}.name")
        found[defined.function.name] = defined
    return found


def _tool(defined: _Defined, notices: list[Notice]) -> JSONObject:
    function, path = defined.function, defined.path
    if not _NAME.fullmatch(function.name):
        raise InvalidRequest(
            f"`{function.name[:80]}` is no name for a tool: letters, digits, `_` and `-`, 1 to 64 of them.",
            param=f"{path}.name",
        )
    schema = tool_input(function.parameters, f"{path}.parameters")
    if function.parameters and not UNIONS.isdisjoint(function.parameters):
        detail = "Alternatives at the top of a tool's schema were merged into one object."
        notices.append(Notice("mapped", f"{path}.parameters", detail))
    tool: JSONObject = {"name": function.name, "input_schema": closed(schema) if function.strict else schema}
    if function.description:
        tool["description"] = function.description
    if function.strict:
        tool["strict"] = True
    if defined.mark is not None:
        tool["cache_control"] = defined.mark
    return tool


def _choice(request: ChatCompletionRequest) -> Wanted:
    match request.tool_choice:
        case None:
            return Wanted()
        case "required":
            return Wanted("any")
        case str(kind):
            return Wanted(kind)
        case NamedToolChoice(function=function):
            return Wanted("tool", function.name)
        case AllowedToolsChoice(allowed_tools=allowed):
            return Wanted(
                "any" if allowed.mode == "required" else "auto",
                only=frozenset(tool.function.name for tool in allowed.tools),
            )
        case CustomToolChoice():
            raise UnsupportedFeature("Only tools of type `function` are supported.", param="tool_choice.type")


def _legacy_choice(request: ChatCompletionRequest) -> Wanted:
    choice = request.function_call
    if isinstance(choice, FunctionName):
        return Wanted("tool", choice.name, param="function_call")
    return Wanted(choice, param="function_call")


def _check(wanted: Wanted, tools: dict[str, JSONObject]) -> None:
    if wanted.forced and not tools:
        raise InvalidRequest(f"`{wanted.param}` forces a tool, but there are none.", param=wanted.param)
    named = {wanted.name} if wanted.name else wanted.only or frozenset()
    for name in sorted(named - tools.keys()):
        raise InvalidRequest(f"`{wanted.param}` names the tool `{name}`, but there is none.", param=wanted.param)


def _api_choice(box: Toolbox, *, parallel: bool | None) -> JSONObject | None:
    choice: JSONObject = {"type": box.wanted.kind or "auto"}
    if box.wanted.name:
        choice["name"] = box.wanted.name
    if (parallel is False or box.legacy) and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return choice if box.wanted.kind or len(choice) > 1 else None


def _web_search(options: WebSearchOptions, notices: list[Notice]) -> JSONObject:
    tool: JSONObject = {"type": "web_search_20250305", "name": WEB_SEARCH}
    if options.search_context_size not in (None, "medium"):
        detail = "Claude decides itself how much of the web it reads."
        notices.append(Notice("ignored", "web_search_options.search_context_size", detail))
    if options.user_location:
        place = options.user_location.approximate
        known = {key: getattr(place, key) for key in ("city", "country", "region", "timezone") if getattr(place, key)}
        tool["user_location"] = {"type": "approximate", **known}
    return tool
