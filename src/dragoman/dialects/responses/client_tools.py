"""Tools of OpenAI that the client runs, other than functions: Claude gets each as a function.

A call of such a function becomes an item of the tool's own type, and back.
"""

from collections.abc import Callable, Mapping
from typing import cast

from dragoman.core.messages import JSON, JSONObject
from dragoman.core.value_object import value_object

# Stored thinking is bound to these words: a change makes it invalid.
_SEARCH_PARAMETERS: JSONObject = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "description": "What the tool should do."},
        "limit": {"type": "integer", "description": "The largest number of tools to find."},
    },
    "required": ["query"],
}
_LOCAL_SHELL_PARAMETERS: JSONObject = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": {"type": "string"}, "description": "The program and its arguments."},
        "working_directory": {"type": "string"},
        "timeout_ms": {"type": "integer"},
        "env": {"type": "object", "additionalProperties": {"type": "string"}},
        "user": {"type": "string"},
    },
    "required": ["command"],
}
_SHELL_PARAMETERS: JSONObject = {
    "type": "object",
    "properties": {
        "commands": {"type": "array", "items": {"type": "string"}, "description": "Shell command lines."},
        "timeout_ms": {"type": "integer"},
        "max_output_length": {"type": "integer", "description": "In characters."},
    },
    "required": ["commands"],
}
_PATCH_PARAMETERS: JSONObject = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
        "path": {"type": "string"},
        "diff": {
            "type": "string",
            "description": "A V4A diff: the new file's lines, each after `+`, or the hunks of a change. "
            "Leave it out to delete the file.",
        },
    },
    "required": ["type", "path"],
}


@value_object
class ClientTool:
    """A tool that the client runs, of a type of its own.

    Attributes:
        type: The type of the tool, which is also the name that Claude gets.
        item_type: The type of the item of a call.
        id_prefix: The prefix of the item's id.
        description: What Claude reads, unless the client describes the tool.
        parameters: Its parameters, unless the client defines them.
        fields: Returns the item's own fields from the arguments of a call.
    """

    type: str
    item_type: str
    id_prefix: str
    description: str
    parameters: JSONObject
    fields: Callable[[JSONObject], JSONObject]


def _search_fields(arguments: JSONObject) -> JSONObject:
    return {"execution": "client", "arguments": arguments}


def _local_shell_fields(arguments: JSONObject) -> JSONObject:
    return {"action": {"command": list[JSON](), "env": cast("JSON", {}), **arguments, "type": "exec"}}


def _shell_fields(arguments: JSONObject) -> JSONObject:
    defaults: JSONObject = {"commands": list[JSON](), "timeout_ms": None, "max_output_length": None}
    return {"action": {**defaults, **arguments}, "environment": {"type": "local"}}


def _patch_fields(arguments: JSONObject) -> JSONObject:
    return {"operation": arguments}


TOOL_SEARCH = ClientTool(
    "tool_search",
    "tool_search_call",
    "tsc",
    "Finds more tools. The tools that it finds can be called from then on.",
    _SEARCH_PARAMETERS,
    _search_fields,
)
LOCAL_SHELL = ClientTool(
    "local_shell",
    "local_shell_call",
    "lsh",
    "Runs a command on the user's machine and returns its output.",
    _LOCAL_SHELL_PARAMETERS,
    _local_shell_fields,
)
SHELL = ClientTool(
    "shell",
    "shell_call",
    "sh",
    "Runs command lines in a shell on the user's machine and returns their output.",
    _SHELL_PARAMETERS,
    _shell_fields,
)
APPLY_PATCH = ClientTool(
    "apply_patch",
    "apply_patch_call",
    "apc",
    "Creates, changes or deletes a file on the user's machine.",
    _PATCH_PARAMETERS,
    _patch_fields,
)
CLIENT_TOOLS: Mapping[str, ClientTool] = {tool.type: tool for tool in (TOOL_SEARCH, LOCAL_SHELL, SHELL, APPLY_PATCH)}
"""The tools by their type."""


@value_object
class ToolBinding:
    """What a tool of Claude's is for the client.

    Attributes:
        name: Its name for the client.
        namespace: Its namespace.
        custom: Whether it takes free text.
        client_tool: The tool of OpenAI that it represents; None for functions and custom tools.
    """

    name: str
    namespace: str | None = None
    custom: bool = False
    client_tool: ClientTool | None = None
