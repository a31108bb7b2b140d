"""The rules in the order in which they are checked: shapes, then what the model takes, then size."""

from collections.abc import Callable

from dragoman.simulator.call import Call
from dragoman.simulator.rules import (
    blocks,
    caching,
    fields,
    media,
    messages,
    sampling,
    schemas,
    signatures,
    size,
    structure,
    thinking,
    toolloop,
    tools,
)

Rule = Callable[[Call], None]

_PROMPT: tuple[Rule, ...] = (
    fields.known_fields,
    fields.messages_given,
    structure.roles,
    structure.shapes,
    structure.first_message,
    structure.message_effort,
    blocks.known_blocks,
    blocks.allowed_in_role,
    blocks.texts,
    blocks.newest_version,
    media.images,
    media.documents,
    media.count,
    messages.not_empty,
    messages.prefill,
    toolloop.unique_ids,
    toolloop.answered,
    toolloop.asked,
    tools.definitions,
    tools.unique_names,
    tools.choice,
    caching.marks,
    caching.order,
    thinking.type_taken,
    thinking.budget,
    thinking.forced_tools,
    thinking.tool_loop,
    signatures.genuine,
    signatures.bound,
)

_WHOLE: tuple[Rule, ...] = (
    fields.max_tokens,
    *_PROMPT,
    fields.stop_sequences,
    fields.effort,
    fields.output_format,
    schemas.circular,
    sampling.ranges,
    sampling.taken,
    sampling.with_thinking,
)

_LAST: tuple[Rule, ...] = (size.context,)


def check(call: Call) -> None:
    """Refuse what the API refuses of a request for a message.

    Raises:
        ApiProblem: In the API's words.
    """
    for rule in (*_WHOLE, *_LAST):
        rule(call)


def check_count(call: Call) -> None:
    """The same for a count: `max_tokens` and sampling are no part of it, nor is the size of the context.

    Raises:
        ApiProblem: In the API's words.
    """
    for rule in _PROMPT:
        rule(call)
