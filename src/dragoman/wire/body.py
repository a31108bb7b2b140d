"""The canonical body, from what the dialects have read of a request."""

import hashlib
from dataclasses import field, replace

from dragoman.catalog import Model
from dragoman.errors import InvalidRequest
from dragoman.media import check_count, check_sizes
from dragoman.messages import MessagesRequest, OutputConfig
from dragoman.notices import Notice
from dragoman.values import unchanging
from dragoman.wire import formats, sampling, thinking
from dragoman.wire.formats import AnswerFormat
from dragoman.wire.sampling import Sampling
from dragoman.wire.thinking import ReasoningEffort, Surroundings, Verbosity
from dragoman.wire.tools import Toolbox, set_tools, soften
from dragoman.wire.turns import Turns, text_blocks


@unchanging(kw_only=True)
class Asked:
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


def make_body(asked: Asked, turns: Turns, box: Toolbox, model: Model, notices: list[Notice]) -> MessagesRequest:
    """Put a request together, by the rules of the model.

    Raises:
        InvalidRequest: Its parts do not go together, or there is too much in it.
    """
    check_count(turns.media, model.max_images)
    check_sizes(turns.media)
    body: MessagesRequest = {"model": model.id, "messages": turns.messages}
    sampling.set_max_tokens(body, asked.max_tokens, asked.limit_param, model, notices)
    sampling.set_sampling(body, asked.sampling, model, notices)
    sampling.set_stop(body, asked.stop, notices)
    choice, order = soften(box.wanted, model, notices)
    if choice is not box.wanted:
        box = replace(box, wanted=choice)
    set_tools(body, box, turns.calls.names)
    added = [
        block for words in (order, formats.instruction(asked.answer_format, notices)) for block in text_blocks(words)
    ]
    if system := [*turns.system, *added]:
        body["system"] = system
    if asked.effort is not None or asked.verbosity is not None:
        _set_thinking(body, asked, _conflict(body, asked, box, model, turns.field), model, notices)
    _set_format(body, asked.answer_format)
    if asked.user:
        body["metadata"] = {"user_id": hashlib.sha256(asked.user.encode()).hexdigest()}
    return body


def _set_thinking(
    body: MessagesRequest, asked: Asked, conflict: str | None, model: Model, notices: list[Notice]
) -> None:
    around = Surroundings(body.get("max_tokens"), conflict)
    planned = thinking.plan(asked.effort, model, around, notices, asked.effort_param)
    if planned.config is not None:
        body["thinking"] = planned.config
    wordy = thinking.effort_of(asked.verbosity, asked.effort, model, notices, asked.verbosity_param)
    if (effort := planned.effort or wordy) is not None:
        body["output_config"] = {"effort": effort}


def _conflict(body: MessagesRequest, asked: Asked, box: Toolbox, model: Model, conversation: str) -> str | None:
    """The field that manual thinking does not go with."""
    if model.sampling and asked.sampling.varied:
        return "temperature"
    if box.wanted.forced:
        return box.wanted.param
    if body["messages"][-1]["role"] == "assistant":
        return conversation
    return None


def _set_format(body: MessagesRequest, wanted: AnswerFormat | None) -> None:
    made = formats.api_format(wanted) if wanted else None
    if wanted is None or made is None:
        return
    if body["messages"][-1]["role"] == "assistant":
        raise InvalidRequest("An answer with a schema cannot continue an assistant message.", param=wanted.param)
    config: OutputConfig = {**body.get("output_config", {}), "format": made}
    body["output_config"] = config
