"""The rules in the order in which they are checked: shapes, then what the model takes, then size."""

from collections.abc import Callable

from dragoman.simulator.request import Call
from dragoman.simulator.rules import media, messages, parameters, thinking, tools
from dragoman.simulator.rules import messages as blocks
from dragoman.simulator.rules import messages as structure
from dragoman.simulator.rules import thinking as signatures
from dragoman.simulator.rules import tools as toolloop

Rule = Callable[[Call], None]

_PROMPT: tuple[Rule, ...] = (
    parameters.known_fields,
    parameters.messages_given,
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
    parameters.marks,
    parameters.order,
    thinking.type_taken,
    thinking.budget,
    thinking.forced_tools,
    thinking.tool_loop,
    signatures.genuine,
    signatures.bound,
)

_WHOLE: tuple[Rule, ...] = (
    parameters.max_tokens,
    *_PROMPT,
    parameters.stop_sequences,
    parameters.effort,
    parameters.output_format,
    parameters.circular,
    parameters.ranges,
    parameters.taken,
    parameters.with_thinking,
)

_LAST: tuple[Rule, ...] = (parameters.context,)


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
