"""A chat completions request to the canonical one."""

import hashlib

from dragoman.catalog import Catalog, Model
from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.media import Placed, check_count, check_sizes
from dragoman.messages import JSON, MessagesRequest, OutputConfig
from dragoman.notices import Notice
from dragoman.wire import sampling, thinking, validation
from dragoman.wire.openai_chat import format as formats
from dragoman.wire.openai_chat import parameters
from dragoman.wire.openai_chat.cache_marks import limit_marks
from dragoman.wire.openai_chat.request import AnswerFormat, ChatOptions, ChatRequest
from dragoman.wire.openai_chat.schema import ChatCompletionRequest
from dragoman.wire.openai_chat.tools import Toolbox, set_tools, soften, toolbox
from dragoman.wire.openai_chat.turns import Turns


def decode(raw: bytes, catalog: Catalog, options: ChatOptions) -> ChatRequest:
    """Understand a request body.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    data = validation.parse(raw)
    request = validation.typed(data, ChatCompletionRequest)
    notices: list[Notice] = []
    _note_unknown(data, request, options, notices)
    parameters.refuse_unsupported(request, options)
    parameters.note_ignored(request, notices)
    resolved = catalog.resolve(request.model)
    if resolved.successor_of:
        detail = f"`{resolved.successor_of}` was retired; `{resolved.model.id}` answers in its place."
        notices.append(Notice("mapped", "model", detail))
    box = toolbox(request, notices)
    wanted = formats.answer_format(request.response_format)
    maker = _Body(request, resolved.model, notices)
    body = maker.make(box, wanted)
    if b"cache" in raw:
        limit_marks(body, notices)
    if options.strict_mapping:
        _refuse_mapped(notices)
    return ChatRequest(
        body=body,
        resolved=resolved,
        stream=bool(request.stream),
        choices=request.n or 1,
        notices=tuple(notices),
        media=maker.media,
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        legacy_functions=box.legacy,
        answer_format=wanted,
        tool_schemas=box.schemas,
        store=bool(request.store),
        metadata=request.metadata or {},
        claude=request.claude,
    )


class _Body:
    """Makes the canonical body of one request.

    Attributes:
        media: The images and documents in it.
    """

    media: tuple[Placed, ...] = ()

    def __init__(self, request: ChatCompletionRequest, model: Model, notices: list[Notice]) -> None:
        self._request = request
        self._model = model
        self._notices = notices

    def make(self, box: Toolbox, wanted: AnswerFormat | None) -> MessagesRequest:
        request, model, notices = self._request, self._model, self._notices
        turns = Turns(model, notices)
        turns.take(request.messages)
        self.media = tuple(turns.media)
        check_count(self.media, model.max_images)
        check_sizes(self.media)
        body: MessagesRequest = {"model": model.id, "messages": turns.messages}
        param = "max_tokens" if request.max_completion_tokens is None else "max_completion_tokens"
        sampling.set_max_tokens(body, request.max_completion_tokens or request.max_tokens, param, model, notices)
        sampled = sampling.Sampling(request.temperature, request.top_p, request.top_k)
        sampling.set_sampling(body, sampled, model, notices)
        sampling.set_stop(body, request.stop, notices)
        choice, instruction = soften(box.wanted, model, notices)
        box = Toolbox(box.tools, choice, box.schemas, box.legacy)
        set_tools(body, box, turns.calls.names, parallel=request.parallel_tool_calls)
        for added in (instruction, formats.instruction(wanted)):
            if added:
                turns.system.append({"type": "text", "text": added})
        if turns.system:
            body["system"] = turns.system
        self._set_thinking(body, box)
        self._set_format(body, wanted)
        self._set_user(body)
        return body

    def _set_thinking(self, body: MessagesRequest, box: Toolbox) -> None:
        around = thinking.Surroundings(body.get("max_tokens"), self._conflict(body, box))
        planned = thinking.plan(self._request.reasoning_effort, self._model, around, self._notices, "reasoning_effort")
        if planned.config is not None:
            body["thinking"] = planned.config
        if planned.effort is not None:
            body["output_config"] = {"effort": planned.effort}

    def _conflict(self, body: MessagesRequest, box: Toolbox) -> str | None:
        """The field that manual thinking does not go with."""
        request = self._request
        if self._model.sampling and sampling.Sampling(request.temperature, request.top_p, request.top_k).varied:
            return "temperature"
        if box.wanted.forced:
            return box.wanted.param
        if body["messages"][-1]["role"] == "assistant":
            return "messages"
        if "adaptive" not in self._model.thinking and thinking.loop_without_thinking(body["messages"]):
            return "messages"
        return None

    def _set_format(self, body: MessagesRequest, wanted: AnswerFormat | None) -> None:
        if (made := formats.api_format(wanted)) is None:
            return
        if body["messages"][-1]["role"] == "assistant":
            raise InvalidRequest(
                "An answer with a schema cannot continue an assistant message.", param="response_format"
            )
        config: OutputConfig = {**body.get("output_config", {}), "format": made}
        body["output_config"] = config

    def _set_user(self, body: MessagesRequest) -> None:
        """Claude is told of the client's user only as a hash."""
        if user := self._request.safety_identifier or self._request.user:
            body["metadata"] = {"user_id": hashlib.sha256(user.encode()).hexdigest()}


def _refuse_mapped(notices: list[Notice]) -> None:
    """The operator wants no approximations. A retired model is mapped only where the operator said so."""
    for notice in notices:
        if notice.code == "mapped" and notice.param != "model":
            raise UnsupportedFeature(notice.detail, param=notice.param)


def _note_unknown(data: JSON, request: ChatCompletionRequest, options: ChatOptions, notices: list[Notice]) -> None:
    said: set[str] = set()
    for path in validation.unknown_fields(data, request):
        name = path.rpartition(".")[2]
        if options.strict_parameters:
            raise InvalidRequest(f"Unknown parameter: `{path}`.", code="unknown_parameter", param=path)
        if name not in said:
            notices.append(Notice("ignored", path, "The gateway does not know this field."))
        said.add(name)
