"""Build the canonical body of a request, by the rules of the model: limits, sampling, thinking, cache marks."""

import hashlib
from collections.abc import Iterator
from dataclasses import field
from typing import cast

from dragoman.core.catalog import Model
from dragoman.core.errors import InvalidRequest
from dragoman.core.known_message import KnownMessage
from dragoman.core.media import check_count, check_sizes
from dragoman.core.messages import JSONObject, MessagesRequest
from dragoman.core.value_object import replace, value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.conversation import ConversationBuilder, text_blocks
from dragoman.dialects.shared.reasoning import (
    ReasoningEffort,
    ThinkingLimits,
    Verbosity,
    thinking_params,
    verbosity_effort,
)
from dragoman.dialects.shared.structured_output import OutputFormat, api_format, format_instruction
from dragoman.dialects.shared.tools import Toolset, set_tools, soften_choice

MAX_CACHE_MARKS = 4
"""The API's limit."""


@value_object
class Sampling:
    """The client's sampling parameters.

    Attributes:
        temperature: 0 to 2.
        top_p: 0 to 1.
        top_k: 0 or more.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None

    @property
    def is_default(self) -> bool:
        """Whether all are the API's defaults. Manual thinking requires that."""
        return self.temperature in (None, 1) and self.top_p in (None, 1) and self.top_k is None


@value_object(kw_only=True)
class GenerationParams:
    """The client's parameters, other than its conversation and its tools.

    Attributes:
        max_tokens: The limit of the response.
        limit_param: The field of the limit.
        sampling: Temperature and the like.
        stop: Stop sequences.
        effort: The reasoning effort.
        effort_param: The field of the effort.
        output_format: The format of the text; None for free text.
        verbosity: The verbosity.
        verbosity_param: The field of the verbosity.
        user: The id of the client's user. Claude gets only a hash of it.
    """

    max_tokens: int | None = None
    limit_param: str = "max_tokens"
    sampling: Sampling = field(default_factory=Sampling)
    stop: str | list[str] | None = None
    effort: ReasoningEffort | None = None
    effort_param: str = "reasoning_effort"
    output_format: OutputFormat | None = None
    verbosity: Verbosity | None = None
    verbosity_param: str = "verbosity"
    user: str | None = None


def build_body(
    params: GenerationParams,
    conversation: ConversationBuilder,
    tools: Toolset,
    model: Model,
    warnings: list[RequestWarning],
) -> MessagesRequest:
    """Return the canonical body.

    Raises:
        InvalidRequest: Parts of the request cannot be combined, or there are too many images.
    """
    if conversation.media:
        check_count(conversation.media, model.max_images)
        check_sizes(conversation.media)
    body: MessagesRequest = {"model": model.id, "messages": conversation.messages}
    if params.max_tokens is not None:
        set_max_tokens(body, params.max_tokens, params.limit_param, model, warnings)
    set_sampling(body, params.sampling, model, warnings)
    if params.stop is not None:
        set_stop(body, params.stop, warnings)
    instructions: list[str | None] = []
    if tools.choice.kind and tools.choice.forced and not model.forced_tools:
        choice, instruction = soften_choice(tools.choice, model, warnings)
        tools = replace(tools, choice=choice)
        instructions.append(instruction)
    if tools.tools or conversation.calls.names:
        set_tools(body, tools, conversation.calls.names)
    if params.output_format is not None:
        instructions.append(format_instruction(params.output_format, warnings))
    system = list(conversation.system)
    for text in instructions:
        system += text_blocks(text)
    if system:
        body["system"] = system
    if params.effort is not None or params.verbosity is not None:
        _set_thinking(body, params, _thinking_conflict(body, params, tools, model, conversation.field), model, warnings)
    if params.output_format is not None:
        _set_format(body, params.output_format)
    if params.user:
        body["metadata"] = {"user_id": hashlib.sha256(params.user.encode()).hexdigest()}
    return body


def set_max_tokens(
    body: MessagesRequest, max_tokens: int, param: str, model: Model, warnings: list[RequestWarning]
) -> None:
    """Set the limit of the body, at most the model's own."""
    body["max_tokens"] = min(max_tokens, model.output_tokens)
    if max_tokens > model.output_tokens:
        detail = f"{model.name} writes at most {model.output_tokens} tokens; that limit was sent."
        warnings.append(RequestWarning("clamped", param, detail))


def set_sampling(body: MessagesRequest, sampling: Sampling, model: Model, warnings: list[RequestWarning]) -> None:
    """Set temperature, `top_p` and `top_k` of the body, as far as the model takes them."""
    temperature, top_p, top_k = sampling.temperature, sampling.top_p, sampling.top_k
    if not model.sampling:
        ignored = [("temperature", temperature not in (None, 1)), ("top_p", top_p not in (None, 1))]
        ignored.append(("top_k", top_k is not None))
        warnings += [
            RequestWarning("ignored", name, f"{model.name} takes only the default `{name}`.")
            for name, is_set in ignored
            if is_set
        ]
        return
    if temperature is not None and temperature > 1:
        warnings.append(RequestWarning("clamped", "temperature", "Claude's highest temperature is 1; 1 was sent."))
        temperature = 1
    if temperature is not None and top_p is not None:
        # The API refuses both together, even if one of them is the default.
        if temperature == 1:
            temperature = None
        elif top_p != 1:
            detail = "Claude takes `temperature` or `top_p`; `temperature` was sent."
            warnings.append(RequestWarning("ignored", "top_p", detail))
    if temperature is not None:
        body["temperature"] = temperature
    elif top_p is not None:
        body["top_p"] = top_p
    if top_k is not None:
        body["top_k"] = top_k


def set_stop(body: MessagesRequest, stop: str | list[str], warnings: list[RequestWarning]) -> None:
    """Set the stop sequences of the body, without blank ones, which the API refuses: see `with_shaping`."""
    given = [stop] if isinstance(stop, str) else stop
    sequences = [sequence for sequence in dict.fromkeys(given) if sequence and not sequence.isspace()]
    if sequences:
        body["stop_sequences"] = sequences
    if not all(given):
        warnings.append(RequestWarning("ignored", "stop", "An empty stop sequence has no effect."))


def limit_cache_breakpoints(body: MessagesRequest, warnings: list[RequestWarning]) -> None:
    """Keep the last cache marks: each of them covers everything before it."""
    marked = list(_marked_blocks(body))
    if len(marked) <= MAX_CACHE_MARKS:
        return
    for block in marked[:-MAX_CACHE_MARKS]:
        del block["cache_control"]
    detail = f"Claude takes at most {MAX_CACHE_MARKS} cache marks; the last {MAX_CACHE_MARKS} were sent."
    warnings.append(RequestWarning("clamped", "cache_control", detail))


def _marked_blocks(body: MessagesRequest) -> Iterator[JSONObject]:
    """Return the blocks with a cache mark, in the order in which the API reads the prompt."""
    yield from (block for block in [*body.get("tools", []), *body.get("system", [])] if "cache_control" in block)
    for message in [one for one in body["messages"] if type(one) is not KnownMessage]:  # the others have none
        for block in message["content"]:
            inner = block.get("content")
            inner_blocks = cast("list[JSONObject]", inner if isinstance(inner, list) else [])
            yield from (part for part in [*inner_blocks, block] if "cache_control" in part)


def _set_thinking(
    body: MessagesRequest, params: GenerationParams, conflict: str | None, model: Model, warnings: list[RequestWarning]
) -> None:
    limits = ThinkingLimits(body.get("max_tokens"), conflict)
    thinking = thinking_params(params.effort, model, limits, warnings, params.effort_param)
    if thinking.config is not None:
        body["thinking"] = thinking.config
    from_verbosity = verbosity_effort(params.verbosity, params.effort, model, warnings, params.verbosity_param)
    if (effort := thinking.effort or from_verbosity) is not None:
        body["output_config"] = {"effort": effort}


def _thinking_conflict(
    body: MessagesRequest, params: GenerationParams, tools: Toolset, model: Model, conversation_field: str
) -> str | None:
    """Return the field that manual thinking cannot be combined with."""
    if model.sampling and not params.sampling.is_default:
        return "temperature"
    if tools.choice.forced:
        return tools.choice.param
    if body["messages"][-1]["role"] == "assistant":
        return conversation_field
    return None


def _set_format(body: MessagesRequest, output_format: OutputFormat) -> None:
    schema_format = api_format(output_format)
    if schema_format is None:
        return
    if body["messages"][-1]["role"] == "assistant":
        raise InvalidRequest(
            f"`{output_format.param}` with a schema cannot continue an assistant message; the last message must be "
            "the user's.",
            param=output_format.param,
        )
    body["output_config"] = {**body.get("output_config", {}), "format": schema_format}
