"""Answers in a form that the prompt describes in words: JSON by a schema in the text, and edits of a file."""

import json
import re
from collections.abc import Iterator

import msgspec

from dragoman.messages import Block, JSONObject
from dragoman.simulator.answers.schema import Filler
from dragoman.simulator.answers.texts import json_object
from dragoman.simulator.call import Call
from dragoman.simulator.prompts import Prompt
from dragoman.simulator.shapes import plain_text

_WANTS_JSON = re.compile(r"\bJSON\b")
_FENCED = re.compile(r"```json|\bcode ?block", re.IGNORECASE)
_ONLY_JSON = re.compile(r"\b(?:a|one|valid)\s+(?:single\s+|valid\s+)?JSON object\b", re.IGNORECASE)
_PROGRAM = re.compile(r"\bcreate (?P<file>[\w./-]+) that prints ['\"](?P<words>[^'\"\n]+)['\"]", re.IGNORECASE)


def described_json(call: Call, prompt: Prompt) -> list[Block]:
    """JSON that fits the schema in the prompt's own text; any small object where only the system prompt demands one."""
    system = plain_text(call.body.get("system"))
    whole = f"{system}\n{prompt.text}"
    if prompt.results or not _WANTS_JSON.search(whole):
        return []
    if schema := next(_schemas_in(whole), None):
        value = Filler(schema, prompt.quoted(), prompt.numbers()).value()
        text = msgspec.json.encode(value).decode()
    elif _ONLY_JSON.search(system):
        text = json_object(prompt)
    else:
        return []
    return [{"type": "text", "text": f"```json\n{text}\n```" if _FENCED.search(whole) else text}]


def edit(call: Call, prompt: Prompt) -> list[Block]:
    """A new file as a SEARCH/REPLACE block, where the prompt wants edits in that form: `Create F that prints 'X'`."""
    whole = f"{plain_text(call.body.get('system'))}\n{prompt.text}"
    asked = _PROGRAM.search(prompt.text)
    if "SEARCH/REPLACE" not in whole or asked is None:
        return []
    line = f"print({asked['words']!r})"
    lines = (asked["file"], "```python", "<<<<<<< SEARCH", "=======", line, ">>>>>>> REPLACE", "```", "")
    return [{"type": "text", "text": "\n".join(lines)}]


def _schemas_in(text: str) -> Iterator[JSONObject]:
    """The JSON schemas of objects that a text holds."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError:
            end = start + 1
        else:
            if isinstance(value, dict) and isinstance(value.get("properties"), dict):
                yield value
        start = text.find("{", end)
