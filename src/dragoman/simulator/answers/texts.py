"""Answers in plain words."""

import re

import msgspec

from dragoman.simulator.prompts import Prompt

_EXACTLY = re.compile(r"reply with exactly:[ \t]*(?P<said>[^\n]*)", re.IGNORECASE)
_COUNT = re.compile(r"\bcount to (?P<n>\d{1,6})\b", re.IGNORECASE)
_REPEAT = re.compile(r"\brepeat (?P<n>\d{1,6}) times:[ \t]*(?P<what>[^\n]+)", re.IGNORECASE)
_JSON = re.compile(r"\b(?:a|one|valid)\s+(?:single\s+|valid\s+|small\s+)?JSON object\b", re.IGNORECASE)


def say(prompt: Prompt) -> str:
    """The words that follow the prompt's plain request, or an echo."""
    if m := _EXACTLY.search(prompt.text):
        return m["said"].strip()
    if m := _COUNT.search(prompt.text):
        return " ".join(str(i) for i in range(1, int(m["n"]) + 1))
    if m := _REPEAT.search(prompt.text):
        return " ".join([m["what"].strip()] * int(m["n"]))
    if _JSON.search(prompt.text):
        return json_object(prompt)
    return _echo(prompt)


def json_object(prompt: Prompt) -> str:
    """A small JSON object: the prompt's quoted strings as values, or the prompt itself."""
    quoted = prompt.quoted()
    fields = {f"value_{i}": value for i, value in enumerate(quoted, 1)} if quoted else {"answer": prompt.text}
    return msgspec.json.encode(fields).decode()


def _echo(prompt: Prompt) -> str:
    said = " ".join(filter(None, (prompt.text, *prompt.attachments)))
    return f"You said: {said}" if said else "You said nothing."
