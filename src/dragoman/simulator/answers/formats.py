"""Answers in a format that the prompt describes: JSON by a schema in the text, and edits of a file."""

import json
import re
from collections.abc import Iterator

import msgspec

from dragoman.core.messages import Block, JSONObject
from dragoman.simulator.answers.schema import value_for_schema
from dragoman.simulator.answers.text import small_json_object
from dragoman.simulator.json_values import plain_text
from dragoman.simulator.request import ApiRequest, Prompt

_MENTIONS_JSON = re.compile(r"\bJSON\b")
_ASKS_FOR_FENCE = re.compile(r"```json|\bcode ?block", re.IGNORECASE)
_DEMANDS_OBJECT = re.compile(r"\b(?:a|one|valid)\s+(?:single\s+|valid\s+)?JSON object\b", re.IGNORECASE)
_NEW_FILE = re.compile(r"\bcreate (?P<file>[\w./-]+) that prints ['\"](?P<text>[^'\"\n]+)['\"]", re.IGNORECASE)


def described_json(request: ApiRequest, prompt: Prompt) -> list[Block]:
    """Answer with JSON that fits a schema in the text, or with any object if the system prompt demands an object."""
    system = plain_text(request.body.get("system"))
    instructions = f"{system}\n{prompt.text}"
    if prompt.results or not _MENTIONS_JSON.search(instructions):
        return []
    if schema := next(_find_schemas(instructions), None):
        text = msgspec.json.encode(value_for_schema(schema, prompt)).decode()
    elif _DEMANDS_OBJECT.search(system):
        text = small_json_object(prompt, instructions)
    else:
        return []
    return [{"type": "text", "text": f"```json\n{text}\n```" if _ASKS_FOR_FENCE.search(instructions) else text}]


def search_replace_edit(request: ApiRequest, prompt: Prompt) -> list[Block]:
    """Answer `Create F that prints 'X'` with a SEARCH/REPLACE block, if the prompt asks for edits in that format."""
    instructions = f"{plain_text(request.body.get('system'))}\n{prompt.text}"
    match = _NEW_FILE.search(prompt.text)
    if "SEARCH/REPLACE" not in instructions or match is None:
        return []
    line = f"print({match['text']!r})"
    lines = (match["file"], "```python", "<<<<<<< SEARCH", "=======", line, ">>>>>>> REPLACE", "```", "")
    return [{"type": "text", "text": "\n".join(lines)}]


def new_file_patch(prompt: Prompt) -> str:
    """Return a patch that creates a file, in the form that `apply_patch` takes."""
    match = _NEW_FILE.search(prompt.text)
    quoted = prompt.quoted_strings()
    file, line = (
        (match["file"], f"print({match['text']!r})") if match else ("patched.txt", " ".join(quoted) or "patched")
    )
    return "\n".join(("*** Begin Patch", f"*** Add File: {file}", f"+{line}", "*** End Patch", ""))


def _find_schemas(text: str) -> Iterator[JSONObject]:
    """Yield the JSON schemas of objects in a text."""
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
