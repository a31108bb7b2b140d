"""The tools of a request: functions, custom tools, namespaces, web search, and tools that the client runs.

A custom tool takes free text. Claude gets it as a function with the text as its only argument. Tools of a namespace get
flat names.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never, cast

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.responses.client_tools import (
    APPLY_PATCH,
    LOCAL_SHELL,
    SHELL,
    TOOL_SEARCH,
    ClientTool,
    ToolBinding,
)
from dragoman.dialects.responses.custom_input import TEXT_ARGUMENT
from dragoman.dialects.responses.item_schema import AdditionalTools, InputItem, ToolSearchOutput
from dragoman.dialects.responses.schema import CreateResponse
from dragoman.dialects.responses.tool_choice import convert_tool_choice
from dragoman.dialects.responses.tool_names import ToolName, ToolNames
from dragoman.dialects.responses.tool_schema import (
    ApplyPatchTool,
    CustomTool,
    FunctionTool,
    LocalShellTool,
    NamespaceTool,
    OtherTool,
    ShellTool,
    Tool,
    ToolSearchTool,
    WebSearchTool,
)
from dragoman.dialects.shared.tools import (
    WEB_SEARCH,
    Function,
    Functions,
    PropertyNames,
    Toolset,
    allowed_tools,
    tools_by_name,
    web_search_tool,
)

PlacedTool: TypeAlias = tuple[str, Tool]
"""A tool and its path in the request."""


@value_object
class RequestTools:
    """The tools of a request.

    Attributes:
        toolset: The tools as the API takes them, and the choice.
        names: The names that Claude knows them by.
        bindings: What they are for the client, by the name that Claude knows.
    """

    toolset: Toolset
    names: ToolNames
    bindings: Mapping[str, ToolBinding]


def tools_in_items(items: Iterable[InputItem], field: str) -> Iterator[PlacedTool]:
    """Yield the tools that input items add to a request.

    Args:
        items: The items.
        field: The request field that they come from.
    """
    for index, item in enumerate(items):
        if isinstance(item, AdditionalTools | ToolSearchOutput):
            yield from ((f"{field}[{index}].tools[{number}]", tool) for number, tool in enumerate(item.tools))


def build_tools(request: CreateResponse, added: Sequence[PlacedTool], warnings: list[RequestWarning]) -> RequestTools:
    """Convert the tools of a request.

    Args:
        request: The request.
        added: The tools that its conversation adds. One that the request already has is ignored.
        warnings: Receives a warning for each tool that the model does not get.

    Raises:
        InvalidRequest: A tool or the tool choice is invalid; `param` names it.
        UnsupportedFeature: The tool choice names a tool of an unsupported type.
    """
    collector = _ToolCollector(warnings)
    for index, tool in enumerate(request.tools or ()):
        collector.add(f"tools[{index}]", tool)
    collector.known = frozenset(named.tool_name for named in collector.functions)
    for path, tool in added:
        collector.add(path, tool)
    names = ToolNames.of(named.tool_name for named in collector.functions)
    bindings: dict[str, ToolBinding] = {}
    functions: list[Function] = []
    for named in collector.functions:
        flat = names.flat(named.binding.namespace, named.binding.name)
        bindings[flat] = named.binding
        functions.append(named.function(flat))
    renamed: PropertyNames = {}
    by_name = tools_by_name(Functions(functions), warnings, renamed)
    for path, search in collector.searches:
        if WEB_SEARCH in by_name:
            detail = f"Only one tool may be named `{WEB_SEARCH}`. Rename the function, or remove one of the tools."
            raise InvalidRequest(detail, param=path)
        by_name[WEB_SEARCH] = _web_search(search, request.max_tool_calls, path, warnings)
    warnings += collector.unsupported
    choice = convert_tool_choice(request.tool_choice, names, bindings)
    schemas = {function.name: function.parameters or {} for function in functions}
    toolset = Toolset(allowed_tools(by_name, choice), choice, schemas, request.parallel_tool_calls, renamed)
    return RequestTools(toolset, names, bindings)


@value_object
class _NamedTool:
    """A function for Claude that has no name yet."""

    path: str
    binding: ToolBinding
    parameters: JSONObject | None
    description: str | None
    strict: bool | None = None

    @property
    def tool_name(self) -> ToolName:
        return self.binding.namespace, self.binding.name

    def function(self, name: str) -> Function:
        return Function(self.path, name, self.parameters, self.description, self.strict)


@dataclass(slots=True)
class _ToolCollector:
    """Collects the tools of a request.

    Attributes:
        warnings: Receives the warnings about tools that are sent in another way.
        functions: The functions that Claude gets.
        searches: The web searches, with their paths.
        unsupported: The warnings about tools that Claude does not get.
        known: Tools that may be defined again; the later definition is ignored.
    """

    warnings: list[RequestWarning]
    functions: list[_NamedTool] = field(default_factory=list)
    searches: list[tuple[str, WebSearchTool]] = field(default_factory=list)
    unsupported: list[RequestWarning] = field(default_factory=list)
    known: frozenset[ToolName] | None = None

    def add(self, path: str, tool: Tool) -> None:
        """Add a tool."""
        match tool:
            case FunctionTool() | CustomTool():
                self._add_named(path, tool, None, None)
            case NamespaceTool():
                self._add_namespace(path, tool)
            case WebSearchTool():
                self.searches.append((path, tool))
            case ToolSearchTool(execution="client"):
                self._add_client_tool(path, TOOL_SEARCH, tool.description, tool.parameters)
            case ToolSearchTool():
                detail = "Claude gets deferred tools at once and needs no search for them."
                self.unsupported.append(RequestWarning("ignored", f"{path}.type", detail))
            case LocalShellTool():
                self._add_client_tool(path, LOCAL_SHELL)
            case ShellTool():
                self._add_shell(path, tool)
            case ApplyPatchTool():
                self._add_client_tool(path, APPLY_PATCH)
            case OtherTool():
                self._ignore(path, tool)
            case _:
                assert_never(tool)

    def _add_namespace(self, path: str, namespace: NamespaceTool) -> None:
        about = _about(namespace)
        for index, tool in enumerate(namespace.tools):
            inner = f"{path}.tools[{index}]"
            if isinstance(tool, OtherTool):
                self._ignore(inner, tool)
            else:
                self._add_named(inner, tool, namespace.name, about)
                about = None

    def _add_named(self, path: str, tool: FunctionTool | CustomTool, namespace: str | None, about: str | None) -> None:
        description = "\n\n".join(text for text in (tool.description, about) if text) or None
        if isinstance(tool, FunctionTool):
            binding = ToolBinding(tool.name, namespace)
            self._append(_NamedTool(path, binding, tool.parameters, description, tool.strict))
        else:
            binding = ToolBinding(tool.name, namespace, custom=True)
            self._append(_NamedTool(path, binding, _custom_parameters(tool), description))

    def _add_client_tool(
        self, path: str, tool: ClientTool, description: str | None = None, parameters: JSONObject | None = None
    ) -> None:
        binding = ToolBinding(tool.type, client_tool=tool)
        self._append(_NamedTool(path, binding, parameters or tool.parameters, description or tool.description))

    def _add_shell(self, path: str, tool: ShellTool) -> None:
        if (tool.environment or {}).get("type", "local") == "local":
            self._add_client_tool(path, SHELL)
        else:
            detail = "Only the client's own shell is supported (`local`); the model does not get this tool."
            self.unsupported.append(RequestWarning("ignored", f"{path}.environment", detail))

    def _append(self, named: _NamedTool) -> None:
        if self.known is not None:
            if named.tool_name in self.known:
                return
            self.known |= {named.tool_name}
        self.functions.append(named)

    def _ignore(self, path: str, tool: OtherTool) -> None:
        detail = f"Tools of type `{tool.kind}` are not supported; the model does not get this tool."
        self.unsupported.append(RequestWarning("ignored", f"{path}.type", detail))


def _about(namespace: NamespaceTool) -> str | None:
    """Return what the first tool of a namespace says of all of them."""
    # Stored thinking is bound to these words: a change makes it invalid.
    return namespace.description and f"About all tools of `{namespace.name}`: {namespace.description}"


def _custom_parameters(tool: CustomTool) -> JSONObject:
    # Stored thinking is bound to these words: a change makes it invalid.
    text: JSONObject = {"type": "string", "description": "The tool's whole input, as plain text."}
    if tool.format and tool.format.definition:
        grammar = f"({tool.format.syntax or 'grammar'})\n{tool.format.definition}"
        text["description"] = f"The tool's whole input, as plain text that fits this grammar:\n\n{grammar}"
    return {
        "type": "object",
        "properties": {TEXT_ARGUMENT: text},
        "required": [TEXT_ARGUMENT],
        "additionalProperties": False,
    }


def _web_search(tool: WebSearchTool, max_uses: int | None, path: str, warnings: list[RequestWarning]) -> JSONObject:
    location = tool.user_location
    known = {key: getattr(location, key) for key in ("city", "country", "region", "timezone")} if location else {}
    search = web_search_tool(known, tool.search_context_size, path, warnings)
    if tool.external_web_access is False:
        detail = "Claude searches the web itself, not a stored copy of it."
        warnings.append(RequestWarning("ignored", f"{path}.external_web_access", detail))
    if tool.filters and tool.filters.allowed_domains:
        search["allowed_domains"] = cast("JSON", tool.filters.allowed_domains)
    if max_uses is not None:
        search["max_uses"] = max_uses
    return search
