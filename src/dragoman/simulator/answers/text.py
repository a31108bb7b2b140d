"""Answers in plain text."""

import re
from collections.abc import Iterator

import msgspec

from dragoman.core.messages import JSON, JSONObject
from dragoman.simulator.request import Prompt

_EXACTLY = re.compile(r"reply with exactly:[ \t]*(?P<text>[^\n]*)", re.IGNORECASE)
_COUNT = re.compile(r"\bcount to (?P<n>\d{1,6})\b", re.IGNORECASE)
_REPEAT = re.compile(r"\brepeat (?P<n>\d{1,6}) times:[ \t]*(?P<text>[^\n]+)", re.IGNORECASE)
_KEY = re.compile(r"\b(?!(?:and|are|for|from|in|of|or|that|to|with)\b)[A-Za-z_]\w*")
_KEYS = re.compile(
    r"\b(?:keys|fields|properties)\b(?: (?:named|called|are))?:?\s+"
    r"(?P<keys>[`'\"]?[A-Za-z_]\w*[`'\"]?(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+)[`'\"]?[A-Za-z_]\w*[`'\"]?)*)"
)
_KEY_BEFORE = re.compile(r"[`'\"](?P<key>[A-Za-z_]\w*)[`'\"]\s+(?:key|field|property)\b")
_KEY_IN_OBJECT = re.compile(r"[{,]\s*\"(?P<key>[A-Za-z_]\w*)\"\s*:")
_JSON_OBJECT = re.compile(r"\b(?:a|one|valid)\s+(?:single\s+|valid\s+|small\s+)?JSON object\b", re.IGNORECASE)


def plain_answer(prompt: Prompt) -> str:
    """Return the text that the prompt asks for, or an echo."""
    if m := _EXACTLY.search(prompt.text):
        return m["text"].strip()
    if m := _COUNT.search(prompt.text):
        return " ".join(str(i) for i in range(1, int(m["n"]) + 1))
    if m := _REPEAT.search(prompt.text):
        return " ".join([m["text"].strip()] * int(m["n"]))
    if _JSON_OBJECT.search(prompt.text):
        return small_json_object(prompt)
    echo = " ".join(filter(None, (prompt.text, *prompt.attachments)))
    return f"You said: {echo}" if echo else "You said nothing."


def small_json_object(prompt: Prompt, instructions: str = "") -> str:
    """Return a small JSON object. Its values are the prompt's quoted strings and numbers, or the prompt itself.

    Args:
        prompt: The prompt.
        instructions: The text that may name the keys; empty: the prompt.
    """
    keys = list(dict.fromkeys(_named_keys(instructions or prompt.text)))
    values: list[JSON] = [value for value in prompt.quoted_strings() if value not in keys]
    if keys:
        values += prompt.numbers()
        fields: JSONObject = {key: values[index] if index < len(values) else key for index, key in enumerate(keys)}
    elif values:
        fields = {f"value_{index}": value for index, value in enumerate(values, 1)}
    else:
        fields = {"answer": prompt.text}
    return msgspec.json.encode(fields).decode()


def _named_keys(text: str) -> Iterator[str]:
    """Yield the keys that a text names: after `keys` or `fields`, in front of these words, or in an object."""
    for match in _KEYS.finditer(text):
        yield from _KEY.findall(match["keys"])
    for match in (*_KEY_BEFORE.finditer(text), *_KEY_IN_OBJECT.finditer(text)):
        yield match["key"]
