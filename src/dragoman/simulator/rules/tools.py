"""Tool definitions and `tool_choice`."""

import re

from dragoman.messages import JSONObject
from dragoman.simulator.call import Call
from dragoman.simulator.problem import refuse
from dragoman.simulator.shapes import list_of, object_of, text_of

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_SERVER = re.compile(
    r"(?:advisor|bash|browser_toolset|code_execution|computer|computer_toolset|mcp_toolset|memory|text_editor|"
    r"tool_search_tool_bm25|tool_search_tool_regex|web_fetch|web_search)(?:_\d{8})?"
)
_CHOICES = ("auto", "any", "tool", "none")


def definitions(call: Call) -> None:
    """A tool has a name and an object schema, or is one of the provider's own."""
    for place, tool in enumerate(list_of(call.body.get("tools"))):
        if not isinstance(tool, dict):
            raise refuse(f"tools.{place}: Input should be a valid dictionary or object to extract fields from")
        kind = tool.get("type") or "custom"
        if kind == "custom":
            _check_custom(f"tools.{place}.custom", tool)
        elif not _SERVER.fullmatch(text_of(kind)):
            raise refuse(
                f"tools.{place}: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
                "'bash_20250124', 'custom', 'text_editor_20250728', 'web_search_20250305', 'web_search_20260318'"
            )


def unique_names(call: Call) -> None:
    """No two tools of one name."""
    names = [name for tool in call.tools if (name := text_of(tool.get("name")))]
    if len(set(names)) != len(names):
        raise refuse("tools: Tool names must be unique.")


def choice(call: Call) -> None:
    """A choice needs tools, a known name, and a model that may be forced."""
    given = call.body.get("tool_choice")
    if given is None:
        return
    kind = object_of(given).get("type")
    if kind not in _CHOICES:
        raise refuse(
            f"tool_choice: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
            f"{', '.join(repr(tag) for tag in sorted(_CHOICES))}"
        )
    if not call.tools and kind != "none":
        raise refuse("tool_choice may only be specified while providing tools.")
    if kind in ("any", "tool") and not call.model.forced_tools:
        raise refuse(f"tool_choice.type: '{kind}' is not supported on this model. Use 'auto' or 'none'.")
    name = text_of(object_of(given).get("name"))
    if kind == "tool" and name not in {tool.get("name") for tool in call.tools}:
        raise refuse(f"tool_choice: Tool '{name}' not found in provided tools")


def _check_custom(path: str, tool: JSONObject) -> None:
    if tool.get("name") is None:
        raise refuse(f"{path}.name: Field required")
    if not _NAME.fullmatch(text_of(tool["name"])):
        raise refuse(f"{path}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    schema = tool.get("input_schema")
    if schema is None:
        raise refuse(f"{path}.input_schema: Field required")
    if not isinstance(schema, dict):
        raise refuse(f"{path}.input_schema: Input should be a valid dictionary")
    if "type" not in schema:
        raise refuse(f"{path}.input_schema.type: Field required")
    if schema["type"] != "object":
        raise refuse(f"{path}.input_schema.type: Input should be 'object'")
