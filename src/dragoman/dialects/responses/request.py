"""Decoding of a responses request to the canonical request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import cast

from dragoman.core.catalog import Catalog, Model
from dragoman.core.messages import JSON, Block, JSONObject, MessagesRequest
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DecodedRequest, DialectOptions, StorageOptions
from dragoman.dialects.responses.client_tools import ToolBinding
from dragoman.dialects.responses.compaction import (
    EncryptSummary,
    items_before_trigger,
    require_cipher,
    summary_options,
    summary_request,
)
from dragoman.dialects.responses.continuation import (
    PREVIOUS_RESPONSE_ID,
    History,
    StoredTurn,
    inherit_fields,
    replay_history,
    tools_of_history,
)
from dragoman.dialects.responses.echoed_fields import echoed_fields
from dragoman.dialects.responses.input import InputReader, normalize
from dragoman.dialects.responses.reasoning import ReturnedThinking, conversation_hash
from dragoman.dialects.responses.references import NO_REFERENCES, ReferencedItem, with_resolved_items
from dragoman.dialects.responses.schema import (
    INCLUDE_ENCRYPTED_REASONING,
    INCLUDE_SEARCH_SOURCES,
    CreateResponse,
    JSONObjectFormat,
    JSONSchemaFormat,
    TextOptions,
)
from dragoman.dialects.responses.tools import PlacedTool, build_tools, tools_in_items
from dragoman.dialects.responses.unsupported import ignored_field_warnings, refuse_unsupported
from dragoman.dialects.shared.agent_options import parse_agent_options, refuse_fields_with_agent, strip_agent_suffix
from dragoman.dialects.shared.conversation import ConversationBuilder, text_blocks
from dragoman.dialects.shared.request_body import GenerationParams, Sampling, build_body, limit_cache_breakpoints
from dragoman.dialects.shared.response_shaping import with_shaping
from dragoman.dialects.shared.sealing import ReasoningCipher, Thought
from dragoman.dialects.shared.structured_output import OutputFormat, schema_format
from dragoman.dialects.shared.unset_values import without_unset_values
from dragoman.dialects.shared.validation import (
    convert,
    convert_known,
    parse_json,
    refuse_mapped_fields,
    resolve_model,
)


@value_object(kw_only=True)
class ResponsesRequest(DecodedRequest):
    """A decoded responses request.

    Attributes:
        settings: The settings that the response repeats.
        bindings: What the tools are for the client, by the names that Claude knows.
        tool_schemas: The client's own parameter schemas, by those names.
        output_format: The format that the text must fit; None for free text.
        wants_summary: Whether the response shows a summary of the reasoning.
        wants_sources: Whether the response shows the pages that a search found.
        encrypt_thinking: Encrypts a thinking block for the client; None if the client did not ask for it.
        encrypt_summary: Encrypts the summary that the client asked for; None for any other request.
        input_items: `input`, each item with its `type`, to be stored with the response.
        tools: `tools`, as the client sent it, to be stored with the response.
        history: The earlier turns, if the request continues a stored response.
        conversation_hash: Computes the exact hash of the conversation, which thinking is bound to.
    """

    settings: JSONObject = field(default_factory=dict)
    bindings: Mapping[str, ToolBinding] = field(default_factory=dict)
    tool_schemas: Mapping[str, JSONObject] = field(default_factory=dict)
    output_format: OutputFormat | None = None
    wants_summary: bool = False
    wants_sources: bool = False
    encrypt_thinking: Callable[[Block], str | None] | None = None
    encrypt_summary: EncryptSummary | None = None
    input_items: JSON = None
    tools: JSON = None
    history: Sequence[StoredTurn] = ()
    conversation_hash: Callable[[], str] = str


@value_object
class StoredContext:
    """What a request uses of stored responses.

    Attributes:
        history: The stored conversation that the request continues, if any.
        references: The stored items that it refers to, by their ids.
    """

    history: History | None = None
    references: Mapping[str, ReferencedItem] = field(default_factory=lambda: NO_REFERENCES)


NO_CONTEXT = StoredContext()


def decode(
    raw: bytes, catalog: Catalog, options: DialectOptions, context: StoredContext = NO_CONTEXT
) -> ResponsesRequest:
    """Decode a request body.

    Args:
        raw: The body.
        catalog: The models.
        options: The operator's settings.
        context: What the request uses of stored responses.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    warnings: list[RequestWarning] = []
    sent = inherit_fields(parse_json(raw, warnings), context.history)
    return decode_data(sent, catalog, options, context, cache_marks=b"cache" in raw, body_warnings=warnings)


def decode_data(  # noqa: PLR0913 - the request, and what it is decoded with
    sent: JSON,
    catalog: Catalog,
    options: DialectOptions,
    context: StoredContext = NO_CONTEXT,
    *,
    cache_marks: bool = True,
    with_tools: bool = True,
    body_warnings: Sequence[RequestWarning] = (),
) -> ResponsesRequest:
    """Decode a request that is parsed JSON.

    Args:
        sent: The request.
        catalog: The models.
        options: The operator's settings.
        context: What the request uses of stored responses.
        cache_marks: Whether the request may contain cache marks.
        with_tools: Whether the model gets the tools that input items add.
        body_warnings: The warnings about the JSON itself.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    history = context.history
    summarized = items_before_trigger(sent)
    encrypt_summary = None if summarized is None else require_cipher(options.cipher)
    warnings = list(body_warnings)
    sent = without_unset_values(sent, warnings)
    to_read = sent
    if summarized is not None:
        client_request = cast("JSONObject", sent)
        convert(normalize({**client_request, "input": ""}), CreateResponse)  # a summary does not use all of it
        to_read = summary_request(client_request, summarized)
    data = normalize(to_read)
    request = convert_known(data, CreateResponse, options, warnings)
    refuse_unsupported(request, can_store=options.stores_responses)
    storage = _storage_options(request, options)
    warnings += ignored_field_warnings(request, stored=storage is not None)
    request_options = parse_agent_options(request.model, request.claude, warnings)
    resolved = resolve_model(strip_agent_suffix(request.model), catalog, warnings)
    model, cipher = resolved.model, options.cipher
    added = _added_tools(request, history) if with_tools and summarized is None else []
    tools = build_tools(request, added, warnings)
    params = _generation_params(request, warnings)
    conversation = ConversationBuilder(model, warnings, "input")
    conversation.add_instructions(text_blocks(request.instructions), "instructions")
    thinking = ReturnedThinking(model, warnings)
    reader = InputReader(conversation, thinking, cipher, warnings, tools.names, context.references)
    replay_history(history, reader)
    reader.read(request.input)
    body = build_body(params, conversation, tools.toolset, model, warnings)
    refuse_fields_with_agent(request_options, _fields_refused_with_agents(request, params, added), body)
    _set_thinking_display(body, request, model, warnings)
    if cache_marks:
        limit_cache_breakpoints(body, warnings)
    known_hash = thinking.remove_if_invalid(body, PREVIOUS_RESPONSE_ID if history else "input")
    if options.strict_mapping:
        refuse_mapped_fields(warnings)
    hash_conversation = conversation_hash(body, model, conversation.media, known_hash)
    encrypt = _encryption(cipher, model, hash_conversation) if cipher else None
    request_options = with_shaping(request_options, params, tools.toolset, body)
    include = request.include or ()
    return ResponsesRequest(
        body=body,
        resolved=resolved,
        stream=bool(request.stream),
        warnings=tuple(warnings),
        media=tuple(conversation.media),
        request_options=request_options if summarized is None else summary_options(request_options),
        storage=storage,
        settings=echoed_fields(cast("JSONObject", sent), stored=storage is not None),
        bindings=tools.bindings,
        tool_schemas=tools.toolset.schemas,
        output_format=params.output_format,
        wants_summary=_wants_summary(request),
        wants_sources=INCLUDE_SEARCH_SOURCES in include,
        encrypt_thinking=encrypt if INCLUDE_ENCRYPTED_REASONING in include else None,
        encrypt_summary=encrypt_summary,
        input_items=_stored_input(data, context, without_last=summarized is not None),
        tools=cast("JSONObject", sent).get("tools"),
        history=history.turns if history else (),
        conversation_hash=hash_conversation,
    )


def _added_tools(request: CreateResponse, history: History | None) -> list[PlacedTool]:
    items = request.input if isinstance(request.input, list) else []
    return [*tools_of_history(history), *tools_in_items(items, "input")]


def _stored_input(data: JSON, context: StoredContext, *, without_last: bool) -> JSON:
    """Return the input items to be stored: without the prompt of a summary, with the items that it refers to."""
    items = cast("JSONObject", data)["input"]
    if not isinstance(items, list):
        return items
    return with_resolved_items(items[:-1] if without_last else items, context.references)


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


def _fields_refused_with_agents(
    request: CreateResponse, params: GenerationParams, added_tools: Sequence[PlacedTool]
) -> dict[str, object]:
    return {
        "tools": request.tools or added_tools,
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
