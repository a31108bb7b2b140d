"""The client's own cache marks: the API takes a few.

Limits and sampling of a request, by the rules of the model.

The canonical body, from what the dialects have read of a request.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import field, replace
from typing import Literal, cast

from dragoman.core.catalog import Model
from dragoman.core.errors import InvalidRequest
from dragoman.core.media import check_count, check_sizes
from dragoman.core.messages import JSONObject, MessagesRequest, OutputConfig
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared import reasoning, structured_output
from dragoman.dialects.shared.conversation import ConversationBuilder, text_blocks
from dragoman.dialects.shared.reasoning import ReasoningEffort, Surroundings, Verbosity
from dragoman.dialects.shared.structured_output import AnswerFormat
from dragoman.dialects.shared.tools import Toolbox, set_tools, soften

MOST = 4


def limit_cache_breakpoints(body: MessagesRequest, warnings: list[RequestWarning]) -> None:
    """Keep the last marks: each of them covers everything before it."""
    marked = list(_marked(body))
    if len(marked) <= MOST:
        return
    for block in marked[:-MOST]:
        del block["cache_control"]
    warnings.append(
        RequestWarning("clamped", "cache_control", f"Claude takes {MOST} cache marks; the last ones were sent.")
    )


def _marked(body: MessagesRequest) -> Iterator[JSONObject]:
    """In the order in which the API reads the prompt."""
    yield from _with_mark([*body.get("tools", []), *body.get("system", [])])
    for message in body["messages"]:
        for block in message["content"]:
            inner = block.get("content")
            yield from _with_mark(cast("list[JSONObject]", inner if isinstance(inner, list) else []))
            yield from _with_mark([block])


def _with_mark(blocks: list[JSONObject]) -> Iterator[JSONObject]:
    return (block for block in blocks if "cache_control" in block)


@value_object
class Sampling:
    """What a client asks for.

    Attributes:
        temperature: 0 to 2.
        top_p: 0 to 1.
        top_k: 0 or more.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None

    @property
    def varied(self) -> bool:
        """Whether anything differs from the API's defaults. Manual thinking does not go with that."""
        return self.temperature not in (None, 1) or self.top_p not in (None, 1) or self.top_k is not None


def set_sampling(body: MessagesRequest, asked: Sampling, model: Model, warnings: list[RequestWarning]) -> None:
    """Put temperature, `top_p` and `top_k` into the body, as far as the model takes them."""
    if not model.sampling:
        _leave_out(asked, model, warnings)
        return
    if asked.temperature is not None and asked.temperature > 1:
        warnings.append(RequestWarning("clamped", "temperature", "Claude's temperature ends at 1; 1 was sent."))
    temperature = None if asked.temperature is None else min(asked.temperature, 1)
    if temperature is not None and asked.top_p is not None:
        # Refused together by the API, even where one of them is at its default.
        if temperature == 1:
            temperature = None
        elif asked.top_p != 1:
            warnings.append(
                RequestWarning("ignored", "top_p", "Claude takes `temperature` or `top_p`; the first was sent.")
            )
    if temperature is not None:
        body["temperature"] = temperature
    elif asked.top_p is not None:
        body["top_p"] = asked.top_p
    if asked.top_k is not None:
        body["top_k"] = asked.top_k


def set_max_tokens(
    body: MessagesRequest, asked: int | None, param: str, model: Model, warnings: list[RequestWarning]
) -> None:
    """Put the limit into the body. Where the client gave none, the backend decides."""
    if asked is None:
        return
    body["max_tokens"] = min(asked, model.output_tokens)
    if asked > model.output_tokens:
        warnings.append(
            RequestWarning(
                "clamped", param, f"{model.name} writes at most {model.output_tokens} tokens; that was sent."
            )
        )


def set_stop(body: MessagesRequest, asked: str | list[str] | None, warnings: list[RequestWarning]) -> None:
    """Put the stop sequences into the body, without the blank ones, which the API refuses."""
    if asked is None:
        return
    given = [asked] if isinstance(asked, str) else asked
    usable = [sequence for sequence in dict.fromkeys(given) if sequence and not sequence.isspace()]
    if usable:
        body["stop_sequences"] = usable
    if any(not sequence or sequence.isspace() for sequence in given):
        warnings.append(RequestWarning("ignored", "stop", "Claude takes no stop sequence of white space only."))


def _leave_out(asked: Sampling, model: Model, warnings: list[RequestWarning]) -> None:
    fields: tuple[tuple[Literal["temperature", "top_p", "top_k"], float | None], ...] = (
        ("temperature", asked.temperature),
        ("top_p", asked.top_p),
        ("top_k", asked.top_k),
    )
    for name, value in fields:
        if value is not None and not (value == 1 and name != "top_k"):
            warnings.append(RequestWarning("ignored", name, f"{model.name} takes only the default `{name}`."))


@value_object(kw_only=True)
class GenerationParams:
    """What a client asks for beside its conversation and its tools.

    Attributes:
        max_tokens: The limit of the answer.
        limit_param: The field it came in.
        sampling: Temperature and the like.
        stop: Stop sequences.
        effort: How hard to think.
        effort_param: The field it came in.
        answer_format: What the text must be; none for free text.
        verbosity: How much to say.
        verbosity_param: The field it came in.
        user: Who the client's user is. Claude is told of it only as a hash.
    """

    max_tokens: int | None = None
    limit_param: str = "max_tokens"
    sampling: Sampling = field(default_factory=Sampling)
    stop: str | list[str] | None = None
    effort: ReasoningEffort | None = None
    effort_param: str = "reasoning_effort"
    answer_format: AnswerFormat | None = None
    verbosity: Verbosity | None = None
    verbosity_param: str = "verbosity"
    user: str | None = None


def build_body(
    asked: GenerationParams, turns: ConversationBuilder, box: Toolbox, model: Model, warnings: list[RequestWarning]
) -> MessagesRequest:
    """Put a request together, by the rules of the model.

    Raises:
        InvalidRequest: Its parts do not go together, or there is too much in it.
    """
    check_count(turns.media, model.max_images)
    check_sizes(turns.media)
    body: MessagesRequest = {"model": model.id, "messages": turns.messages}
    set_max_tokens(body, asked.max_tokens, asked.limit_param, model, warnings)
    set_sampling(body, asked.sampling, model, warnings)
    set_stop(body, asked.stop, warnings)
    choice, order = soften(box.wanted, model, warnings)
    if choice is not box.wanted:
        box = replace(box, wanted=choice)
    set_tools(body, box, turns.calls.names)
    added = [
        block
        for words in (order, structured_output.instruction(asked.answer_format, warnings))
        for block in text_blocks(words)
    ]
    if system := [*turns.system, *added]:
        body["system"] = system
    if asked.effort is not None or asked.verbosity is not None:
        _set_thinking(body, asked, _conflict(body, asked, box, model, turns.field), model, warnings)
    _set_format(body, asked.answer_format)
    if asked.user:
        body["metadata"] = {"user_id": hashlib.sha256(asked.user.encode()).hexdigest()}
    return body


def _set_thinking(
    body: MessagesRequest, asked: GenerationParams, conflict: str | None, model: Model, warnings: list[RequestWarning]
) -> None:
    around = Surroundings(body.get("max_tokens"), conflict)
    planned = reasoning.plan(asked.effort, model, around, warnings, asked.effort_param)
    if planned.config is not None:
        body["thinking"] = planned.config
    wordy = reasoning.effort_of(asked.verbosity, asked.effort, model, warnings, asked.verbosity_param)
    if (effort := planned.effort or wordy) is not None:
        body["output_config"] = {"effort": effort}


def _conflict(
    body: MessagesRequest, asked: GenerationParams, box: Toolbox, model: Model, conversation: str
) -> str | None:
    """The field that manual thinking does not go with."""
    if model.sampling and asked.sampling.varied:
        return "temperature"
    if box.wanted.forced:
        return box.wanted.param
    if body["messages"][-1]["role"] == "assistant":
        return conversation
    return None


def _set_format(body: MessagesRequest, wanted: AnswerFormat | None) -> None:
    made = structured_output.api_format(wanted) if wanted else None
    if wanted is None or made is None:
        return
    if body["messages"][-1]["role"] == "assistant":
        raise InvalidRequest("An answer with a schema cannot continue an assistant message.", param=wanted.param)
    config: OutputConfig = {**body.get("output_config", {}), "format": made}
    body["output_config"] = config
