"""The tools of a chat: functions, as tools and in the legacy form, and web search."""

from collections.abc import Iterable, Iterator, Sequence
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
    Functions,
    PropertyNames,
    ToolChoice,
    Toolset,
    allowed_tools,
    tools_by_name,
    web_search_tool,
)

_FUNCTIONS_ONLY = "Only tools of type `function` are supported."


class KnownTools(list[FunctionTool | CustomTool]):
    """The tools of a request. Requests that have the same ones share them: they must not be changed.

    Attributes:
        functions: The same as functions; None before the first time.
    """

    __slots__ = ("functions",)

    def __init__(self, tools: Iterable[FunctionTool | CustomTool]) -> None:
        super().__init__(tools)
        self.functions: Functions | None = None


def uses_legacy_functions(request: ChatCompletionRequest) -> bool:
    """Return whether the client uses the form before tools, with one call per message."""
    return not request.tools and bool(request.functions)


def build_toolset(request: ChatCompletionRequest, warnings: list[RequestWarning]) -> Toolset:
    """Return the tools of a request.

    Raises:
        InvalidRequest: A tool or the tool choice is invalid; `param` names it.
        UnsupportedFeature: A tool is not a function.
    """
    if not (request.tools or request.functions or request.tool_choice or request.function_call) and (
        request.web_search_options is None
    ):
        return Toolset()
    legacy = uses_legacy_functions(request)
    choice = _legacy_choice(request) if legacy else _tool_choice(request)
    functions = Functions(_legacy_functions(request)) if legacy else _functions(request.tools or [])
    renamed: PropertyNames = {}
    by_name = tools_by_name(functions, warnings, renamed)
    tools = allowed_tools(by_name, choice)
    if request.web_search_options is not None:
        if WEB_SEARCH in by_name:
            raise InvalidRequest(
                f"With `web_search_options`, no tool may be named `{WEB_SEARCH}`. Rename it.", param="tools"
            )
        tools.append(_web_search(request.web_search_options, warnings))
    schemas = {function.name: function.parameters or {} for function in functions}
    return Toolset(tools, choice, schemas, False if legacy else request.parallel_tool_calls, renamed)


def _functions(tools: Sequence[FunctionTool | CustomTool]) -> Functions:
    if type(tools) is not KnownTools:
        return Functions(_each_function(tools))
    if tools.functions is None:
        tools.functions = Functions(_each_function(tools))
    return tools.functions


def _each_function(tools: Sequence[FunctionTool | CustomTool]) -> Iterator[Function]:
    for index, tool in enumerate(tools):
        match tool:
            case FunctionTool():
                yield _function(tool.function, f"tools[{index}].function", tool.cache_control)
            case CustomTool():
                raise UnsupportedFeature(_FUNCTIONS_ONLY, param=f"tools[{index}].type")
            case _:
                assert_never(tool)


def _legacy_functions(request: ChatCompletionRequest) -> Iterator[Function]:
    for index, definition in enumerate(request.functions or ()):
        yield _function(definition, f"functions[{index}]")


def _function(definition: FunctionDefinition, path: str, cache_control: JSONObject | None = None) -> Function:
    return Function(
        path, definition.name, definition.parameters, definition.description, definition.strict, cache_control
    )


def _tool_choice(request: ChatCompletionRequest) -> ToolChoice:
    match request.tool_choice:
        case None:
            return ToolChoice()
        case "required":
            return ToolChoice("any")
        case str(kind):
            return ToolChoice(kind)
        case NamedToolChoice(function=function):
            return ToolChoice("tool", function.name)
        case AllowedToolsChoice(allowed_tools=choice):
            names = frozenset(tool.function.name for tool in choice.tools)
            return ToolChoice("any" if choice.mode == "required" else "auto", allowed=names)
        case CustomToolChoice():
            raise UnsupportedFeature(_FUNCTIONS_ONLY, param="tool_choice.type")


def _legacy_choice(request: ChatCompletionRequest) -> ToolChoice:
    choice = request.function_call
    if isinstance(choice, FunctionName):
        return ToolChoice("tool", choice.name, param="function_call")
    return ToolChoice(choice, param="function_call")


def _web_search(options: WebSearchOptions, warnings: list[RequestWarning]) -> JSONObject:
    approximate = options.user_location.approximate if options.user_location else None
    keys = ("city", "country", "region", "timezone")
    location = {key: getattr(approximate, key) for key in keys} if approximate else {}
    return web_search_tool(location, options.search_context_size, "web_search_options", warnings)
