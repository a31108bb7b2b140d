"""Tool calls and results among the input items: what each is to Claude, whatever its type."""

from collections.abc import Iterable, Iterator

import msgspec

from dragoman.core.messages import JSON, JSONObject
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.responses.client_tools import APPLY_PATCH, LOCAL_SHELL, SHELL, TOOL_SEARCH
from dragoman.dialects.responses.custom_input import custom_tool_arguments
from dragoman.dialects.responses.item_schema import (
    ApplyPatchCall,
    ApplyPatchCallOutput,
    CustomToolCall,
    FunctionCall,
    LocalShellCall,
    LocalShellCallOutput,
    ShellCall,
    ShellCallOutput,
    ToolSearchCall,
    ToolSearchOutput,
)
from dragoman.dialects.responses.tool_names import ToolNames
from dragoman.dialects.responses.tool_schema import CustomTool, FunctionTool, NamespaceTool, Tool
from dragoman.dialects.shared.tool_calls import call_arguments

CallItem = FunctionCall | CustomToolCall | ToolSearchCall | LocalShellCall | ShellCall | ApplyPatchCall
ResultItem = LocalShellCallOutput | ShellCallOutput | ApplyPatchCallOutput


@value_object
class Call:
    """A call as Claude made it.

    Attributes:
        key: How the result refers to it.
        name: The tool, as Claude knows it.
        arguments: Its arguments.
    """

    key: str
    name: str
    arguments: JSONObject


def call_of(item: CallItem, path: str, names: ToolNames, warnings: list[RequestWarning]) -> Call:
    """Return the call of an item.

    Args:
        item: The item.
        path: Its path in the request.
        names: The names that Claude knows the tools by.
        warnings: Receives a warning if the arguments are not a JSON object.
    """
    match item:
        case FunctionCall(call_id=key):
            name = names.flat_of_call(item.namespace, item.name)
            arguments = call_arguments(item.arguments, f"{path}.arguments", warnings)
        case CustomToolCall(call_id=key):
            name, arguments = names.flat_of_call(item.namespace, item.name), custom_tool_arguments(item.input)
        case ToolSearchCall():
            key, name = item.call_id or "", TOOL_SEARCH.type
            arguments = call_arguments(_json_text(item.arguments), f"{path}.arguments", warnings)
        case LocalShellCall():
            key, name, arguments = item.call_id or item.id or "", LOCAL_SHELL.type, _given(item.action)
        case ShellCall(call_id=key):
            name, arguments = SHELL.type, _given(item.action)
        case ApplyPatchCall(call_id=key):
            name, arguments = APPLY_PATCH.type, item.operation
    return Call(key, name, arguments)


def result_key(item: ResultItem) -> str:
    """Return how a result refers to its call."""
    return item.call_id or item.id or ""


def result_text(item: ResultItem) -> str:
    """Return the text of a result."""
    match item:
        case LocalShellCallOutput():
            return item.output
        case ShellCallOutput():
            return _json_text(item.output)
        case ApplyPatchCallOutput():
            return "\n".join(text for text in (item.status, item.output) if text)


def loaded_tools_text(item: ToolSearchOutput, names: ToolNames) -> str:
    """Return what Claude reads of the tools that its search found. Their definitions are among the request's tools."""
    found = ", ".join(f"`{name}`" for name in _names_of(item.tools, names))
    # Stored thinking is bound to these words: a change makes it invalid.
    return f"These tools can be called now: {found}" if found else "No tools were found."


def _names_of(tools: Iterable[Tool], names: ToolNames) -> Iterator[str]:
    for tool in tools:
        if isinstance(tool, FunctionTool | CustomTool):
            yield names.flat(None, tool.name)
        elif isinstance(tool, NamespaceTool):
            inner = (one for one in tool.tools if isinstance(one, FunctionTool | CustomTool))
            yield from (names.flat(tool.name, one.name) for one in inner)


def _given(action: JSONObject) -> JSONObject:
    """Return the arguments in an action: its fields that the model wrote."""
    return {key: value for key, value in action.items() if value not in (None, {}) and key != "type"}


def _json_text(value: JSON) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
