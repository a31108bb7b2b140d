"""The tools of a chat: functions, in the form of tools and in the one before them, and web search."""

from collections.abc import Iterator
from typing import assert_never

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.chat.schema import (
    AllowedToolsChoice,
    ChatCompletionRequest,
    CustomTool,
    CustomToolChoice,
    FunctionDefinition,
    FunctionName,
    FunctionTool,
    NamedToolChoice,
    WebSearchOptions,
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


def speaks_of_functions(request: ChatCompletionRequest) -> bool:
    """Whether the client uses the form before tools, where a message holds one call."""
    return not request.tools and bool(request.functions)


def toolbox(request: ChatCompletionRequest, warnings: list[RequestWarning]) -> Toolbox:
    """Read the tools of a request.

    Raises:
        InvalidRequest: A tool, or the choice of one, is not possible; `param` names it.
    """
    if not (request.tools or request.functions or request.tool_choice or request.function_call) and (
        request.web_search_options is None
    ):
        return Toolbox()
    legacy = speaks_of_functions(request)
    wanted = _legacy_choice(request) if legacy else _choice(request)
    functions = list(_legacy_functions(request) if legacy else _functions(request))
    by_name = tools_by_name(functions, warnings)
    tools = offer_tools(by_name, wanted)
    if request.web_search_options is not None:
        if WEB_SEARCH in by_name:
            raise InvalidRequest("A tool may not be named `web_search` beside `web_search_options`.", param="tools")
        tools.append(_web_search(request.web_search_options, warnings))
    schemas = {function.name: function.parameters or {} for function in functions}
    return Toolbox(tools, wanted, schemas, False if legacy else request.parallel_tool_calls)


def _functions(request: ChatCompletionRequest) -> Iterator[Function]:
    for index, tool in enumerate(request.tools or ()):
        match tool:
            case FunctionTool():
                yield _function(tool.function, f"tools[{index}].function", tool.cache_control)
            case CustomTool():
                raise UnsupportedFeature("Only tools of type `function` are supported.", param=f"tools[{index}].type")
            case _:
                assert_never(tool)


def _legacy_functions(request: ChatCompletionRequest) -> Iterator[Function]:
    for index, definition in enumerate(request.functions or ()):
        yield _function(definition, f"functions[{index}]")


def _function(said: FunctionDefinition, path: str, mark: JSONObject | None = None) -> Function:
    return Function(path, said.name, said.parameters, said.description, said.strict, mark)


def _choice(request: ChatCompletionRequest) -> ToolChoice:
    match request.tool_choice:
        case None:
            return ToolChoice()
        case "required":
            return ToolChoice("any")
        case str(kind):
            return ToolChoice(kind)
        case NamedToolChoice(function=function):
            return ToolChoice("tool", function.name)
        case AllowedToolsChoice(allowed_tools=allowed):
            return ToolChoice(
                "any" if allowed.mode == "required" else "auto",
                only=frozenset(tool.function.name for tool in allowed.tools),
            )
        case CustomToolChoice():
            raise UnsupportedFeature("Only tools of type `function` are supported.", param="tool_choice.type")


def _legacy_choice(request: ChatCompletionRequest) -> ToolChoice:
    choice = request.function_call
    if isinstance(choice, FunctionName):
        return ToolChoice("tool", choice.name, param="function_call")
    return ToolChoice(choice, param="function_call")


def _web_search(options: WebSearchOptions, warnings: list[RequestWarning]) -> JSONObject:
    place = options.user_location.approximate if options.user_location else None
    known = {key: getattr(place, key) for key in ("city", "country", "region", "timezone")} if place else {}
    return web_search(known, options.search_context_size, "web_search_options", warnings)
