"""Custom tools: they take free text, which Claude gives as the one argument of a function."""

import json
import re

from dragoman.messages import Block, JSONObject
from dragoman.wire.openai_responses.tool_schema import CustomTool

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
