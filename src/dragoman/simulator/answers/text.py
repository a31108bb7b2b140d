"""Answers in plain text."""

import re

import msgspec

from dragoman.simulator.request import Prompt

_EXACTLY = re.compile(r"reply with exactly:[ \t]*(?P<text>[^\n]*)", re.IGNORECASE)
_COUNT = re.compile(r"\bcount to (?P<n>\d{1,6})\b", re.IGNORECASE)
_REPEAT = re.compile(r"\brepeat (?P<n>\d{1,6}) times:[ \t]*(?P<text>[^\n]+)", re.IGNORECASE)
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


def small_json_object(prompt: Prompt) -> str:
    """Return a small JSON object. Its values are the prompt's quoted strings, or the prompt itself."""
    quoted = prompt.quoted_strings()
    fields = {f"value_{i}": value for i, value in enumerate(quoted, 1)} if quoted else {"answer": prompt.text}
    return msgspec.json.encode(fields).decode()
