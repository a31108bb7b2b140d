"""Decode a chat completions request to the canonical request."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import cast

from dragoman.core.catalog import Catalog
from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DecodedRequest, DialectOptions, StorageOptions
from dragoman.dialects.chat.content import instruction_blocks
from dragoman.dialects.chat.messages import add_messages
from dragoman.dialects.chat.parts import ImagePart, ImageURL, InputImagePart
from dragoman.dialects.chat.plain import DecodedParts, KnownParts, decode_parts
from dragoman.dialects.chat.schema import (
    AssistantMessage,
    ChatCompletionRequest,
    ChatMessage,
    JSONObjectFormat,
    JSONSchemaFormat,
    ResponseFormat,
    ToolMessage,
    UserMessage,
)
from dragoman.dialects.chat.shapes import as_chat
from dragoman.dialects.chat.tools import build_toolset, uses_legacy_functions
from dragoman.dialects.shared.agent_options import (
    parse_agent_options,
    refuse_fields_with_agent,
    strip_agent_suffix,
)
from dragoman.dialects.shared.conversation import ConversationBuilder
from dragoman.dialects.shared.request_body import GenerationParams, Sampling, build_body, limit_cache_breakpoints
from dragoman.dialects.shared.response_shaping import with_shaping
from dragoman.dialects.shared.structured_output import OutputFormat, schema_format
from dragoman.dialects.shared.unset_values import without_unset_values
from dragoman.dialects.shared.validation import (
    IgnoredFields,
    convert_known,
    parse_json,
    parse_metadata,
    refuse_mapped_fields,
    resolve_model,
)

IGNORED = IgnoredFields(
    {
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
        "audio": ({},),  # how audio should sound; `modalities` asks for it
    }
)
"""Fields without an equivalent, and the values at which they have no effect."""


@value_object(kw_only=True)
class ChatRequest(DecodedRequest):
    """A decoded chat completions request.

    Attributes:
        include_usage: Whether the stream ends with a chunk that holds the usage.
        legacy_functions: Whether calls are encoded as `function_call`, the form before tools.
        output_format: The format of the text; None for free text.
        tool_schemas: The client's own parameter schemas, by tool.
        messages: The conversation as the client sent it, if it is to be stored.
    """

    include_usage: bool = False
    legacy_functions: bool = False
    output_format: OutputFormat | None = None
    tool_schemas: Mapping[str, JSONObject] = field(default_factory=dict)
    messages: JSON = None


def decode_chat(raw: bytes, catalog: Catalog, options: DialectOptions, known_parts: KnownParts | None) -> ChatRequest:
    """Decode a request body.

    Args:
        raw: The body.
        catalog: The models.
        options: The operator's settings.
        known_parts: The parts of earlier requests. None: take the longer way, which gives the same result.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    warnings: list[RequestWarning] = []
    decoded = None if known_parts is None else decode_parts(raw, known_parts)
    parts = decoded or _walk(raw, options, warnings)
    request = parts.request
    _refuse_unsupported(request, parts.special, options)
    _warn_ignored(request, parts.special, warnings)
    request_options = parse_agent_options(request.model, request.claude, warnings)
    model_name = strip_agent_suffix(request.model) if request_options.agent else request.model
    resolved = resolve_model(model_name, catalog, warnings)
    tools = build_toolset(request, warnings)
    params = _generation_params(request, warnings)
    conversation = ConversationBuilder(resolved.model, warnings)
    if request.system:
        conversation.add_instructions(instruction_blocks(request.system), "system")
    add_messages(parts.messages, conversation, warnings, parts.runs)
    body = build_body(params, conversation, tools, resolved.model, warnings)
    if request_options.agent is not None:
        refuse_fields_with_agent(request_options, _fields_refused_with_agent(request, params), body)
    limit_cache_breakpoints(body, warnings)
    if options.strict_mapping:
        refuse_mapped_fields(warnings)
    is_stored = bool(request.store)
    return ChatRequest(
        body=body,
        resolved=resolved,
        stream=bool(request.stream),
        choices=request.n or 1,
        warnings=tuple(warnings),
        media=tuple(conversation.media),
        request_options=with_shaping(request_options, params, tools, body),
        storage=_storage_options(request) if is_stored else None,
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        legacy_functions=bool(request.functions) and uses_legacy_functions(request),
        output_format=params.output_format,
        tool_schemas=tools.schemas,
        messages=cast("JSONObject", _normalized(raw, []))["messages"] if is_stored else None,
    )


def _walk(raw: bytes, options: DialectOptions, warnings: list[RequestWarning]) -> DecodedParts:
    """Decode any request, and its messages: with an error for what is wrong, and a warning for what is unknown."""
    request = convert_known(_normalized(raw, warnings), ChatCompletionRequest, options, warnings)
    return DecodedParts(request, [*request.messages], [*enumerate(request.messages)])


def _normalized(raw: bytes, warnings: list[RequestWarning]) -> JSON:
    """Return the parsed request in the shape of a chat, without values that mean "not set"."""
    return as_chat(without_unset_values(parse_json(raw, warnings), warnings), warnings)


def _refuse_unsupported(
    request: ChatCompletionRequest, messages: Sequence[tuple[int, ChatMessage]], options: DialectOptions
) -> None:
    """Refuse fields without which the response would be wrong.

    Raises:
        UnsupportedFeature: Log probabilities, audio, or `store` in a gateway that stores nothing.
        InvalidRequest: More choices than the operator allows.
    """
    if request.logprobs or request.top_logprobs:
        param = "logprobs" if request.logprobs else "top_logprobs"
        raise UnsupportedFeature(f"Claude returns no log probabilities. Leave `{param}` out.", param=param)
    if request.store and not options.stores_responses:
        raise UnsupportedFeature("This gateway stores no responses (`--no-store`). Leave `store` out.", param="store")
    if "audio" in (request.modalities or ()):
        param = "modalities" if request.audio is None else "audio"
        raise UnsupportedFeature("Claude does not output audio. Ask for text.", param=param)
    for index, message in messages:
        if isinstance(message, AssistantMessage) and message.audio is not None:
            raise UnsupportedFeature(
                "Claude does not take audio. Send the text of this message instead.", param=f"messages[{index}].audio"
            )
    if (request.n or 1) > options.max_choices:
        raise InvalidRequest(f"`n` may be at most {options.max_choices}.", param="n")


def _warn_ignored(
    request: ChatCompletionRequest, messages: Sequence[tuple[int, ChatMessage]], warnings: list[RequestWarning]
) -> None:
    """Warn of fields that have no effect."""
    warnings += IGNORED.warnings(request)
    if request.metadata and not request.store:
        detail = "Metadata is stored with a response, and this one is not stored: see `store`."
        warnings.append(RequestWarning("ignored", "metadata", detail))
    if request.stream_options and request.stream_options.include_obfuscation:
        detail = "The gateway does not pad the chunks of a stream."
        warnings.append(RequestWarning("ignored", "stream_options.include_obfuscation", detail))
    for index, message in messages:
        if isinstance(message, UserMessage | ToolMessage) and isinstance(message.content, list):
            for part_index, part in enumerate(message.content):
                if field := _detail_field(part):
                    param = f"messages[{index}].content[{part_index}].{field}"
                    warnings.append(RequestWarning("ignored", param, "Claude reads every image in the same detail."))


def _detail_field(part: object) -> str | None:
    """Return the field that asks for an image in another detail than the usual one."""
    if isinstance(part, InputImagePart) and part.detail not in (None, "auto"):
        return "detail"
    image = part.image_url if isinstance(part, ImagePart | InputImagePart) else None
    return "image_url.detail" if isinstance(image, ImageURL) and image.detail not in (None, "auto") else None


def _generation_params(request: ChatCompletionRequest, warnings: list[RequestWarning]) -> GenerationParams:
    return GenerationParams(
        max_tokens=request.max_completion_tokens or request.max_tokens,
        limit_param="max_tokens" if request.max_completion_tokens is None else "max_completion_tokens",
        sampling=Sampling(request.temperature, request.top_p, request.top_k),
        stop=request.stop,
        effort=request.reasoning_effort,
        output_format=_output_format(request.response_format, warnings) if request.response_format else None,
        verbosity=request.verbosity,
        user=request.safety_identifier or request.user,
    )


def _output_format(response_format: ResponseFormat, warnings: list[RequestWarning]) -> OutputFormat | None:
    match response_format:
        case JSONSchemaFormat(json_schema=named) if named.schema is not None:
            return schema_format(named.schema, "response_format", "response_format.json_schema.schema", warnings)
        case JSONSchemaFormat() | JSONObjectFormat():
            return OutputFormat()
        case _:
            return None


def _fields_refused_with_agent(request: ChatCompletionRequest, params: GenerationParams) -> dict[str, object]:
    return {
        "tools": request.tools,
        "functions": request.functions,
        "tool_choice": request.tool_choice not in (None, "auto", "none"),
        "function_call": request.function_call,
        "web_search_options": request.web_search_options is not None,
        "response_format": params.output_format,
        "n": (request.n or 1) > 1,
    }


def _storage_options(request: ChatCompletionRequest) -> StorageOptions:
    return StorageOptions(requested=True, metadata=parse_metadata(request.metadata, "metadata"))
