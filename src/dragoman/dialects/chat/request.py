"""What the chat dialect remembers of a request until its answer is encoded.

`response_format`.

Fields without an equivalent: refused by name where an answer without them would be wrong, else ignored, and said.

A chat completions request to the canonical one.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import field
from typing import cast

from dragoman.core.catalog import Catalog
from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DecodedRequest, DialectOptions, StorageOptions
from dragoman.dialects.chat.messages import take
from dragoman.dialects.chat.schema import (
    AssistantMessage,
    ChatCompletionRequest,
    ChatMessage,
    ImagePart,
    ImageURL,
    JSONObjectFormat,
    JSONSchemaFormat,
    ResponseFormat,
    ToolMessage,
    UserMessage,
)
from dragoman.dialects.chat.tools import speaks_of_functions, toolbox
from dragoman.dialects.shared import agent_options, validation
from dragoman.dialects.shared.conversation import ConversationBuilder
from dragoman.dialects.shared.request_body import GenerationParams, Sampling, build_body, limit_cache_breakpoints
from dragoman.dialects.shared.structured_output import AnswerFormat, schema_format
from dragoman.dialects.shared.validation import parse_metadata, refuse_mapped_fields, resolve_model, warn_unknown_fields


@value_object(kw_only=True)
class ChatRequest(DecodedRequest):
    """A chat completions request, understood.

    Attributes:
        include_usage: Whether the stream ends with a chunk that holds the usage.
        legacy_functions: Whether calls are answered as `function_call`, the form before tools.
        answer_format: What the text must be, checked before the answer ends; none for free text.
        tool_schemas: The client's own parameter schemas, by tool.
        messages: The conversation as the client sent it, where it is to be kept.
    """

    include_usage: bool = False
    legacy_functions: bool = False
    answer_format: AnswerFormat | None = None
    tool_schemas: Mapping[str, JSONObject] = field(default_factory=dict)
    messages: JSON = None


def answer_format(asked: ResponseFormat | None) -> AnswerFormat | None:
    """What the text of the answer must be.

    Raises:
        InvalidRequest: The schema is empty, or nested too deeply.
    """
    match asked:
        case JSONSchemaFormat(json_schema=wanted) if wanted.schema is not None:
            return schema_format(wanted.schema, "response_format", "response_format.json_schema.schema")
        case JSONSchemaFormat() | JSONObjectFormat():
            return AnswerFormat()
        case _:
            return None


IGNORED: Mapping[str, tuple[JSON, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "seed": (),
    "prediction": (),
    "moderation": (),
    "service_tier": ("auto", "default"),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "prompt_cache_options": ({},),
}
"""Fields without an equivalent, and the values at which they mean nothing."""

_WITHOUT_USE = frozenset({*IGNORED, "metadata"})
_WITH_PARTS = (UserMessage, ToolMessage)


def refuse_unsupported(request: ChatCompletionRequest, options: DialectOptions) -> None:
    """Refuse what cannot be had.

    Raises:
        UnsupportedFeature: Log probabilities, audio, or to be kept where nothing is.
        InvalidRequest: More choices than the operator allows.
    """
    if request.logprobs or request.top_logprobs:
        param = "logprobs" if request.logprobs else "top_logprobs"
        raise UnsupportedFeature("Claude gives no log probabilities.", param=param)
    if request.store and not options.stores_responses:
        raise UnsupportedFeature("This gateway keeps nothing (`--no-store`). Leave `store` out.", param="store")
    if request.audio is not None or "audio" in (request.modalities or ()):
        param = "modalities" if request.audio is None else "audio"
        raise UnsupportedFeature("Claude speaks no audio.", param=param)
    for index, message in enumerate(request.messages):
        if isinstance(message, AssistantMessage) and message.audio is not None:
            raise UnsupportedFeature("Claude cannot hear what was said.", param=f"messages[{index}].audio")
    if (request.n or 1) > options.max_choices:
        raise InvalidRequest(f"`n` may be {options.max_choices} at most.", param="n")


def note_ignored(
    request: ChatCompletionRequest, sent: Collection[str], warnings: list[RequestWarning], *, kept: bool
) -> None:
    """Say which fields do nothing here.

    Args:
        request: The request.
        sent: The names of the fields that are in it.
        warnings: Where to say so.
        kept: Whether the completion is kept.
    """
    if not _WITHOUT_USE.isdisjoint(sent):
        _note_fields(request, warnings, kept=kept)
    if request.stream_options and request.stream_options.include_obfuscation:
        detail = "Chunks are as long as what is in them."
        warnings.append(RequestWarning("ignored", "stream_options.include_obfuscation", detail))
    warnings += _details(request.messages)


def _note_fields(request: ChatCompletionRequest, warnings: list[RequestWarning], *, kept: bool) -> None:
    for name, neutral in IGNORED.items():
        value = getattr(request, name)
        if value is not None and value not in neutral:
            warnings.append(RequestWarning("ignored", name, f"Claude has nothing like `{name}`."))
    if request.metadata and not kept:
        warnings.append(RequestWarning("ignored", "metadata", "It is kept with a completion that is kept: `store`."))


def _details(messages: Iterable[ChatMessage]) -> Iterator[RequestWarning]:
    """Images whose size the client chose; only the API chooses it here."""
    for index, message in enumerate(messages):
        parts = message.content if isinstance(message, _WITH_PARTS) else None
        for place, part in enumerate(parts if isinstance(parts, list) else ()):
            link = part.image_url if isinstance(part, ImagePart) else None
            if isinstance(link, ImageURL) and link.detail not in (None, "auto"):
                param = f"messages[{index}].content[{place}].image_url.detail"
                yield RequestWarning("ignored", param, "Claude looks at every image in the same detail.")


def decode_chat(raw: bytes, catalog: Catalog, options: DialectOptions) -> ChatRequest:
    """Understand a request body.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    data = validation.parse(raw)
    request = validation.typed(data, ChatCompletionRequest)
    warnings: list[RequestWarning] = []
    warn_unknown_fields(data, request, options, warnings)
    refuse_unsupported(request, options)
    kept = bool(request.store)
    note_ignored(request, cast("JSONObject", data), warnings, kept=kept)
    request_options = agent_options.agent_terms(request.model, request.claude, warnings)
    resolved = resolve_model(agent_options.plain_model(request.model), catalog, warnings)
    box = toolbox(request, warnings)
    asked = _asked(request)
    turns = ConversationBuilder(resolved.model, warnings)
    take(request.messages, turns, warnings)
    body = build_body(asked, turns, box, resolved.model, warnings)
    if request_options.agent is not None:
        agent_options.check_beside(request_options, _not_of_agents(request), body)
    if b"cache" in raw:
        limit_cache_breakpoints(body, warnings)
    refuse_mapped_fields(options, warnings)
    return ChatRequest(
        body=body,
        resolved=resolved,
        stream=bool(request.stream),
        choices=request.n or 1,
        warnings=tuple(warnings),
        media=tuple(turns.media),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        legacy_functions=speaks_of_functions(request),
        answer_format=asked.answer_format,
        tool_schemas=box.schemas,
        request_options=request_options,
        storage=StorageOptions(requested=True, metadata=parse_metadata(request.metadata, "metadata")) if kept else None,
        messages=cast("JSONObject", data)["messages"] if kept else None,
    )


def _not_of_agents(request: ChatCompletionRequest) -> dict[str, object]:
    return {
        "tools": request.tools,
        "functions": request.functions,
        "tool_choice": request.tool_choice not in (None, "auto", "none"),
        "function_call": request.function_call,
        "web_search_options": request.web_search_options is not None,
        "response_format": answer_format(request.response_format),
        "n": (request.n or 1) > 1,
    }


def _asked(request: ChatCompletionRequest) -> GenerationParams:
    return GenerationParams(
        max_tokens=request.max_completion_tokens or request.max_tokens,
        limit_param="max_tokens" if request.max_completion_tokens is None else "max_completion_tokens",
        sampling=Sampling(request.temperature, request.top_p, request.top_k),
        stop=request.stop,
        effort=request.reasoning_effort,
        answer_format=answer_format(request.response_format),
        verbosity=request.verbosity,
        user=request.safety_identifier or request.user,
    )
