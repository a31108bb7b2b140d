"""A chat completions request to the canonical one."""

from typing import cast

from dragoman.catalog import Catalog
from dragoman.messages import JSONObject
from dragoman.notices import Notice
from dragoman.wire import agents, validation
from dragoman.wire.base import Keeping
from dragoman.wire.body import Asked, make_body
from dragoman.wire.cache_marks import limit_marks
from dragoman.wire.labels import labels
from dragoman.wire.openai_chat import format as formats
from dragoman.wire.openai_chat import parameters
from dragoman.wire.openai_chat.request import ChatRequest
from dragoman.wire.openai_chat.schema import ChatCompletionRequest
from dragoman.wire.openai_chat.tools import speaks_of_functions, toolbox
from dragoman.wire.openai_chat.turns import take
from dragoman.wire.options import WireOptions
from dragoman.wire.reading import note_unknown, refuse_mapped, resolve
from dragoman.wire.sampling import Sampling
from dragoman.wire.turns import Turns


def decode(raw: bytes, catalog: Catalog, options: WireOptions) -> ChatRequest:
    """Understand a request body.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    data = validation.parse(raw)
    request = validation.typed(data, ChatCompletionRequest)
    notices: list[Notice] = []
    note_unknown(data, request, options, notices)
    parameters.refuse_unsupported(request, options)
    kept = bool(request.store)
    parameters.note_ignored(request, cast("JSONObject", data), notices, kept=kept)
    terms = agents.agent_terms(request.model, request.claude, notices)
    resolved = resolve(agents.plain_model(request.model), catalog, notices)
    box = toolbox(request, notices)
    asked = _asked(request)
    turns = Turns(resolved.model, notices)
    take(request.messages, turns, notices)
    body = make_body(asked, turns, box, resolved.model, notices)
    if terms.agent is not None:
        agents.check_beside(terms, _not_of_agents(request), body)
    if b"cache" in raw:
        limit_marks(body, notices)
    refuse_mapped(options, notices)
    return ChatRequest(
        body=body,
        resolved=resolved,
        stream=bool(request.stream),
        choices=request.n or 1,
        notices=tuple(notices),
        media=tuple(turns.media),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        legacy_functions=speaks_of_functions(request),
        answer_format=asked.answer_format,
        tool_schemas=box.schemas,
        terms=terms,
        keeping=Keeping(asked=True, labels=labels(request.metadata, "metadata")) if kept else None,
        messages=cast("JSONObject", data)["messages"] if kept else None,
    )


def _not_of_agents(request: ChatCompletionRequest) -> dict[str, object]:
    return {
        "tools": request.tools,
        "functions": request.functions,
        "tool_choice": request.tool_choice not in (None, "auto", "none"),
        "function_call": request.function_call,
        "web_search_options": request.web_search_options is not None,
        "response_format": formats.answer_format(request.response_format),
        "n": (request.n or 1) > 1,
    }


def _asked(request: ChatCompletionRequest) -> Asked:
    return Asked(
        max_tokens=request.max_completion_tokens or request.max_tokens,
        limit_param="max_tokens" if request.max_completion_tokens is None else "max_completion_tokens",
        sampling=Sampling(request.temperature, request.top_p, request.top_k),
        stop=request.stop,
        effort=request.reasoning_effort,
        answer_format=formats.answer_format(request.response_format),
        verbosity=request.verbosity,
        user=request.safety_identifier or request.user,
    )
