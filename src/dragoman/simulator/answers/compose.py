"""Choose the answer: the first in a fixed order that applies to the request."""

from collections.abc import Callable

import msgspec

from dragoman.core.messages import Block
from dragoman.simulator.answers.formats import described_json, search_replace_edit
from dragoman.simulator.answers.schema import value_for_schema
from dragoman.simulator.answers.text import plain_answer
from dragoman.simulator.answers.tools import forced_calls, requested_calls, structured_call
from dragoman.simulator.answers.web_search import web_search
from dragoman.simulator.json_values import object_of
from dragoman.simulator.request import ApiRequest, Prompt

Answer = Callable[[ApiRequest, Prompt], list[Block]]
"""Returns content blocks without thinking; an empty list if it does not apply."""


def compose(request: ApiRequest, prompt: Prompt) -> list[Block]:
    """Return the content blocks of the response, without thinking, before any limit cuts them."""
    for answer in _ANSWERS:
        if blocks := answer(request, prompt):
            return blocks
    return []


def _formatted_json(request: ApiRequest, prompt: Prompt) -> list[Block]:
    """Answer with structured output, from `output_config.format` or the beta's `output_format`."""
    output_config = object_of(request.body.get("output_config"))
    format_ = object_of(output_config.get("format") or request.body.get("output_format"))
    if format_.get("type") != "json_schema":
        return []
    value = value_for_schema(object_of(format_.get("schema")), prompt)
    return [{"type": "text", "text": msgspec.json.encode(value).decode()}]


def _quoted_results(_request: ApiRequest, prompt: Prompt) -> list[Block]:
    if not prompt.results:
        return []
    subject = "tool" if len(prompt.results) == 1 else "tools"
    return [{"type": "text", "text": f"The {subject} said: {'; '.join(prompt.results)}"}]


def _plain_text(_request: ApiRequest, prompt: Prompt) -> list[Block]:
    return [{"type": "text", "text": plain_answer(prompt)}]


_ANSWERS: tuple[Answer, ...] = (
    forced_calls,
    requested_calls,
    _formatted_json,
    structured_call,
    _quoted_results,
    web_search,
    described_json,
    search_replace_edit,
    _plain_text,
)
