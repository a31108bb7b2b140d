"""Which answer fits: the first that does, in a fixed order."""

from collections.abc import Callable

import msgspec

from dragoman.core.messages import Block, JSONObject
from dragoman.simulator.answers.schema import Filler
from dragoman.simulator.answers.text import say, search
from dragoman.simulator.answers.tools import described_json, edit, forced_calls, requested_calls, structured_call
from dragoman.simulator.json_values import object_of
from dragoman.simulator.request import Call, Prompt

Answer = Callable[[Call, Prompt], list[Block]]
"""The content blocks of an answer, thinking apart; none where it does not fit."""


def compose(call: Call, prompt: Prompt) -> list[Block]:
    """The content blocks of the answer, thinking apart, before any limit cuts them."""
    for answer in _ANSWERS:
        if blocks := answer(call, prompt):
            return blocks
    return []


def _formatted(call: Call, prompt: Prompt) -> list[Block]:
    """Structured output: in `output_config.format`, or in `output_format` as it was in its beta."""
    format_ = object_of(object_of(call.body.get("output_config")).get("format") or call.body.get("output_format"))
    if format_.get("type") != "json_schema":
        return []
    value = Filler(object_of(format_.get("schema")), prompt.quoted(), prompt.numbers()).value()
    return [_text(msgspec.json.encode(value).decode())]


def _results(_call: Call, prompt: Prompt) -> list[Block]:
    if not prompt.results:
        return []
    speaker = "tool" if len(prompt.results) == 1 else "tools"
    return [_text(f"The {speaker} said: {'; '.join(prompt.results)}")]


def _spoken(_call: Call, prompt: Prompt) -> list[Block]:
    return [_text(say(prompt))]


def _text(text: str) -> JSONObject:
    return {"type": "text", "text": text}


_ANSWERS: tuple[Answer, ...] = (
    forced_calls,
    requested_calls,
    _formatted,
    structured_call,
    _results,
    search,
    described_json,
    edit,
    _spoken,
)
