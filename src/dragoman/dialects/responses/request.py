"""Decoding of a responses request to the canonical request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import cast

from dragoman.core.catalog import Catalog, Model
from dragoman.core.messages import JSON, Block, JSONObject, MessagesRequest
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DecodedRequest, DialectOptions, StorageOptions
from dragoman.dialects.responses.continuation import (
    PREVIOUS_RESPONSE_ID,
    History,
    StoredTurn,
    inherit_fields,
    replay_history,
)
from dragoman.dialects.responses.echoed_fields import echoed_fields
from dragoman.dialects.responses.input import InputReader, normalize
from dragoman.dialects.responses.reasoning import ReturnedThinking, conversation_hash
from dragoman.dialects.responses.schema import (
    INCLUDE_ENCRYPTED_REASONING,
    INCLUDE_SEARCH_SOURCES,
    CreateResponse,
    JSONObjectFormat,
    JSONSchemaFormat,
    TextOptions,
)
from dragoman.dialects.responses.tools import build_toolset, custom_tool_names
from dragoman.dialects.responses.unsupported import ignored_field_warnings, refuse_unsupported
from dragoman.dialects.shared.agent_options import parse_agent_options, refuse_fields_with_agent, strip_agent_suffix
from dragoman.dialects.shared.conversation import ConversationBuilder, text_blocks
from dragoman.dialects.shared.request_body import GenerationParams, Sampling, build_body, limit_cache_breakpoints
from dragoman.dialects.shared.response_shaping import with_shaping
from dragoman.dialects.shared.sealing import ReasoningCipher, Thought
from dragoman.dialects.shared.structured_output import OutputFormat, schema_format
from dragoman.dialects.shared.validation import (
    convert,
    parse_json,
    refuse_mapped_fields,
    resolve_model,
    warn_unknown_fields,
)


@value_object(kw_only=True)
class ResponsesRequest(DecodedRequest):
    """A decoded responses request.

    Attributes:
        settings: The settings that the response repeats.
        custom_tools: The names of the tools that take free text.
        tool_schemas: The client's own parameter schemas, by tool name.
        output_format: The format that the text must fit; None for free text.
        wants_summary: Whether the response shows a summary of the reasoning.
        wants_sources: Whether the response shows the pages that a search found.
        encrypt_thinking: Encrypts a thinking block for the client; None if the client did not ask for it.
        encrypt_summary: Encrypts a summary of the conversation for the client; None if the gateway has no key.
        input_items: `input`, each item with its `type`, to be stored with the response.
        tools: `tools`, as the client sent it, to be stored with the response.
        history: The earlier turns, if the request continues a stored response.
        conversation_hash: Computes the exact hash of the conversation, which thinking is bound to.
    """

    settings: JSONObject = field(default_factory=dict)
    custom_tools: frozenset[str] = frozenset()
    tool_schemas: Mapping[str, JSONObject] = field(default_factory=dict)
    output_format: OutputFormat | None = None
    wants_summary: bool = False
    wants_sources: bool = False
    encrypt_thinking: Callable[[Block], str | None] | None = None
    encrypt_summary: Callable[[str], str] | None = None
    input_items: JSON = None
    tools: JSON = None
    history: Sequence[StoredTurn] = ()
    conversation_hash: Callable[[], str] = str


def decode(raw: bytes, catalog: Catalog, options: DialectOptions, history: History | None = None) -> ResponsesRequest:
    """Decode a request body.

    Args:
        raw: The body.
        catalog: The models.
        options: The operator's settings.
        history: The stored conversation that the request continues, if any.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    data = parse_json(raw)
    return decode_data(inherit_fields(data, history), catalog, options, history, cache_marks=b"cache" in raw)


def decode_data(
    sent: JSON, catalog: Catalog, options: DialectOptions, history: History | None = None, *, cache_marks: bool = True
) -> ResponsesRequest:
    """Decode a request that is parsed JSON.

    Args:
        sent: The request.
        catalog: The models.
        options: The operator's settings.
        history: The stored conversation that the request continues, if any.
        cache_marks: Whether the request may contain cache marks.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    data = normalize(sent)
    request = convert(data, CreateResponse)
    warnings: list[RequestWarning] = []
    warn_unknown_fields(data, request, options, warnings)
    refuse_unsupported(request, can_store=options.stores_responses)
    storage = _storage_options(request, options)
    warnings += ignored_field_warnings(request, stored=storage is not None)
    request_options = parse_agent_options(request.model, request.claude, warnings)
    resolved = resolve_model(strip_agent_suffix(request.model), catalog, warnings)
    model, cipher = resolved.model, options.cipher
    toolset = build_toolset(request, warnings)
    params = _generation_params(request, warnings)
    conversation = ConversationBuilder(model, warnings, "input")
    conversation.add_instructions(text_blocks(request.instructions), "instructions")
    thinking = ReturnedThinking(model, warnings)
    reader = InputReader(conversation, thinking, cipher, warnings)
    replay_history(history, reader)
    reader.read(request.input)
    body = build_body(params, conversation, toolset, model, warnings)
    refuse_fields_with_agent(request_options, _fields_refused_with_agents(request, params), body)
    _set_thinking_display(body, request, model, warnings)
    if cache_marks:
        limit_cache_breakpoints(body, warnings)
    known_hash = thinking.remove_if_invalid(body, PREVIOUS_RESPONSE_ID if history else "input")
    if options.strict_mapping:
        refuse_mapped_fields(warnings)
    hash_conversation = conversation_hash(body, model, conversation.media, known_hash)
    encrypt = _encryption(cipher, model, hash_conversation) if cipher else None
    include = request.include or ()
    return ResponsesRequest(
        body=body,
        resolved=resolved,
        stream=bool(request.stream),
        warnings=tuple(warnings),
        media=tuple(conversation.media),
        request_options=with_shaping(request_options, params, toolset, body),
        storage=storage,
        settings=echoed_fields(cast("JSONObject", sent), stored=storage is not None),
        custom_tools=custom_tool_names(request.tools),
        tool_schemas=toolset.schemas,
        output_format=params.output_format,
        wants_summary=_wants_summary(request),
        wants_sources=INCLUDE_SEARCH_SOURCES in include,
        encrypt_thinking=encrypt if INCLUDE_ENCRYPTED_REASONING in include else None,
        encrypt_summary=cipher.encrypt_summary if cipher else None,
        input_items=cast("JSONObject", data)["input"],
        tools=cast("JSONObject", sent).get("tools"),
        history=history.turns if history else (),
        conversation_hash=hash_conversation,
    )


def _storage_options(request: CreateResponse, options: DialectOptions) -> StorageOptions | None:
    if request.store is False or not options.stores_responses:
        return None
    return StorageOptions(
        requested=bool(request.store),
        background=bool(request.background),
        parent=request.previous_response_id,
        metadata=request.metadata or {},
    )


def _generation_params(request: CreateResponse, warnings: list[RequestWarning]) -> GenerationParams:
    return GenerationParams(
        max_tokens=request.max_output_tokens,
        limit_param="max_output_tokens",
        sampling=Sampling(request.temperature, request.top_p),
        effort=request.reasoning.effort if request.reasoning else None,
        effort_param="reasoning.effort",
        output_format=_output_format(request.text, warnings),
        verbosity=request.text.verbosity if request.text else None,
        verbosity_param="text.verbosity",
        user=request.safety_identifier or request.user,
    )


def _output_format(options: TextOptions | None, warnings: list[RequestWarning]) -> OutputFormat | None:
    match options and options.format:
        case JSONSchemaFormat(schema=schema):
            return schema_format(schema, "text.format", "text.format.schema", warnings)
        case JSONObjectFormat():
            return OutputFormat(None, "text.format")
        case _:
            return None


def _fields_refused_with_agents(request: CreateResponse, params: GenerationParams) -> dict[str, object]:
    return {
        "tools": request.tools,
        "tool_choice": request.tool_choice not in (None, "auto", "none"),
        "text.format": params.output_format,
    }


def _wants_summary(request: CreateResponse) -> bool:
    options = request.reasoning
    return bool(options and (options.summary or options.generate_summary))


def _set_thinking_display(
    body: MessagesRequest, request: CreateResponse, model: Model, warnings: list[RequestWarning]
) -> None:
    """Have thinking summarized only for clients that show it: the summary delays the response."""
    config = body.get("thinking")
    if not _wants_summary(request):
        if config is not None:
            config.pop("display", None)
    elif config is None and "adaptive" in model.thinking:
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
    elif config is None or config["type"] == "disabled":
        detail = f"{model.name} does not reason in this response. Set `reasoning.effort` to let it reason."
        warnings.append(RequestWarning("ignored", "reasoning.summary", detail))


def _encryption(
    cipher: ReasoningCipher, model: Model, hash_conversation: Callable[[], str]
) -> Callable[[Block], str | None]:
    return lambda block: cipher.encrypt_thought(Thought(model.id, hash_conversation(), block))
