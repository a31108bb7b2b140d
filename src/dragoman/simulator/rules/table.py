"""The rules in the order in which the API checks them. The first rule that fails decides the error."""

from collections.abc import Callable

from dragoman.simulator.request import ApiRequest
from dragoman.simulator.rules import (
    blocks,
    cache_marks,
    media,
    messages,
    parameters,
    sampling,
    schemas,
    signatures,
    thinking,
    tools,
)

Rule = Callable[[ApiRequest], None]
"""Raises an `ApiError` with the API's message if the request breaks the rule."""

_PROMPT_RULES: tuple[Rule, ...] = (
    parameters.known_fields,
    # messages
    messages.required,
    messages.roles,
    messages.fields,
    messages.first_is_user,
    messages.effort,
    # content blocks
    blocks.known_types,
    blocks.allowed_roles,
    blocks.texts,
    blocks.newest_version,
    media.images,
    media.documents,
    media.max_images,
    messages.not_empty,
    messages.prefill,
    # tools
    tools.call_fields,
    tools.unique_call_ids,
    tools.calls_have_results,
    tools.results_have_calls,
    tools.definitions,
    schemas.tool_inputs,
    tools.unique_names,
    tools.choice,
    # cache_control
    cache_marks.types_and_count,
    cache_marks.order,
    # thinking
    thinking.type_and_display,
    thinking.budget,
    thinking.forced_tools,
    thinking.tool_loop,
    signatures.valid,
    signatures.same_conversation,
)
"""The rules of a message and of a token count."""

_MESSAGE_RULES: tuple[Rule, ...] = (
    parameters.max_tokens,
    *_PROMPT_RULES,
    parameters.stop_sequences,
    parameters.effort,
    schemas.output_format,
    schemas.not_circular,
    sampling.ranges,
    sampling.supported,
    sampling.with_thinking,
    parameters.context_window,
)
"""The rules of a message."""


def check(request: ApiRequest) -> None:
    """Check a request for a message.

    Raises:
        ApiError: The API refuses it.
    """
    for rule in _MESSAGE_RULES:
        rule(request)


def check_count(request: ApiRequest) -> None:
    """Check a request for a token count. `max_tokens`, sampling and the size of the context are not checked.

    Raises:
        ApiError: The API refuses it.
    """
    for rule in _PROMPT_RULES:
        rule(request)
