"""What the responses dialect remembers of a request until its answer is encoded.

Fields without an equivalent: refused by name where an answer without them would be wrong, else ignored, and said.

The settings that a response repeats, as the client sent them; what was not sent, at OpenAI's defaults.

A responses request to the canonical one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import cast

from dragoman.core.catalog import Catalog, Model
from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, Block, JSONObject, MessagesRequest
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DecodedRequest, DialectOptions, StorageOptions
from dragoman.dialects.responses.continuation import PARAM, History, going_on, restore_history
from dragoman.dialects.responses.input import Reader, normal
from dragoman.dialects.responses.reasoning import PastTurn, Thoughts, name_of
from dragoman.dialects.responses.schema import (
    CreateResponse,
    InputImage,
    JSONObjectFormat,
    JSONSchemaFormat,
    TextOptions,
)
from dragoman.dialects.responses.tools import custom_names, toolbox
from dragoman.dialects.shared import agent_options, validation
from dragoman.dialects.shared.conversation import ConversationBuilder, text_blocks
from dragoman.dialects.shared.request_body import GenerationParams, Sampling, build_body, limit_cache_breakpoints
from dragoman.dialects.shared.sealing import ReasoningCipher, Thought
from dragoman.dialects.shared.structured_output import AnswerFormat, schema_format
from dragoman.dialects.shared.validation import refuse_mapped_fields, resolve_model, warn_unknown_fields


@value_object(kw_only=True)
class ResponsesRequest(DecodedRequest):
    """A responses request, understood.

    Attributes:
        echo: The settings that every response repeats.
        custom: Names of the tools that take free text.
        tool_schemas: The client's own parameter schemas, by tool.
        answer_format: What the text must be, checked before the answer ends; none for free text.
        summary: Whether the client wants to read what was thought.
        seal: Closes a thinking block for the client to send it back; none where it does not want to.
        sources: Whether it wants to know where was searched.
        items: What this request says, item by item, as it is kept.
        tools: Its tools, as the client sent them.
        past: What was said before, in kept responses.
        before: Gives the exact name of the conversation, which thinking is bound to.
    """

    echo: JSONObject = field(default_factory=dict)
    custom: frozenset[str] = frozenset()
    tool_schemas: Mapping[str, JSONObject] = field(default_factory=dict)
    answer_format: AnswerFormat | None = None
    summary: bool = False
    seal: Callable[[Block], str | None] | None = None
    sources: bool = False
    items: JSON = None
    tools: JSON = None
    past: Sequence[PastTurn] = ()
    before: Callable[[], str] = str


ENCRYPTED = "reasoning.encrypted_content"
SOURCES = "web_search_call.action.sources"
INCLUDED = frozenset({ENCRYPTED, SOURCES})
"""The values of `include` that are acted on."""

IGNORED: Mapping[str, tuple[JSON, ...]] = {
    "moderation": (),
    "context_management": ([],),
    "service_tier": ("auto", "default"),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "prompt_cache_options": ({},),
}
"""Fields without an equivalent, and the values at which they mean nothing."""

UNKEPT: Mapping[str, str] = {
    "conversation": "There are no conversation objects; go on with `previous_response_id`.",
    "prompt": "There are no stored prompts; send the prompt itself in `instructions` and `input`.",
}
"""Fields that lead to what is not kept here."""
INCLUDED_ANYWAY = frozenset({"message.input_image.image_url"})
_STORE = "This gateway keeps nothing (`--no-store`)."
WITHOUT_STORE: Mapping[str, str] = {
    "previous_response_id": f"{_STORE} Send the earlier items in `input`.",
    "background": f"{_STORE} Stream the answer instead.",
    "store": f"{_STORE} Leave `store` out.",
}
"""Fields that need a store, and what to do without one."""


def refuse_unsupported(request: CreateResponse, *, keeps: bool) -> None:
    """Refuse what cannot be had.

    Args:
        request: The request.
        keeps: Whether responses can be kept.

    Raises:
        UnsupportedFeature: What is not kept, or log probabilities.
        InvalidRequest: An answer in the background that is not to be kept.
    """
    for name, said in UNKEPT.items():
        if getattr(request, name) is not None:
            raise UnsupportedFeature(said, param=name)
    for name, said in WITHOUT_STORE.items() if not keeps else ():
        if getattr(request, name):
            raise UnsupportedFeature(said, param=name)
    if request.background and request.store is False:
        raise InvalidRequest("A response in the background has to be kept: leave `store` out.", param="store")
    if request.top_logprobs:
        raise UnsupportedFeature("Claude gives no log probabilities.", param="top_logprobs")
    for index, value in enumerate(request.include or ()):
        if value == "message.output_text.logprobs":
            raise UnsupportedFeature("Claude gives no log probabilities.", param=f"include[{index}]")


def note_ignored(request: CreateResponse, warnings: list[RequestWarning], *, kept: bool) -> None:
    """Say which fields do nothing here.

    Args:
        request: The request.
        warnings: Where to say it.
        kept: Whether the response is kept.
    """
    for name, neutral in IGNORED.items():
        value = getattr(request, name)
        if value is not None and value not in neutral:
            warnings.append(RequestWarning("ignored", name, f"Claude has nothing like `{name}`."))
    if request.metadata and not kept:
        detail = "Nothing is done with it but to repeat it in the response."
        warnings.append(RequestWarning("ignored", "metadata", detail))
    warnings += _ignored(request)
    warnings += _details(request)


def _ignored(request: CreateResponse) -> Iterator[RequestWarning]:
    if request.truncation == "auto":
        yield RequestWarning("ignored", "truncation", "Nothing is cut; what is too long for the model is refused.")
    if request.stream_options and request.stream_options.include_obfuscation:
        yield RequestWarning("ignored", "stream_options.include_obfuscation", "Events are as long as what is in them.")
    for index, value in enumerate(request.include or ()):
        if value not in INCLUDED | INCLUDED_ANYWAY:
            yield RequestWarning("ignored", f"include[{index}]", "There is nothing like this to include.")


def _details(request: CreateResponse) -> Iterator[RequestWarning]:
    """Images whose size the client chose; only the API chooses it here."""
    for index, item in enumerate(request.input if isinstance(request.input, list) else ()):
        name = "content" if hasattr(item, "content") else "output"
        parts = getattr(item, name, None)
        for place, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, InputImage) and part.detail not in (None, "auto"):
                param = f"input[{index}].{name}[{place}].detail"
                yield RequestWarning("ignored", param, "Claude looks at every image in the same detail.")


_DEFAULTS: JSONObject = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "temperature": 1.0,
    "top_p": 1.0,
    "truncation": "disabled",
    "tool_choice": "auto",
    "metadata": {},
}
_FIXED: JSONObject = {
    "service_tier": "default",
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_logprobs": 0,
}
"""What is so whatever the client sent."""


def echo(sent: JSONObject, *, kept: bool) -> JSONObject:
    """The settings of one request.

    Args:
        sent: The request's body, which is known to fit the schema.
        kept: Whether the response is kept.
    """
    given = {key: value for key, default in _DEFAULTS.items() if (value := sent.get(key, default)) is not None}
    tools = sent.get("tools")
    made: JSONObject = {
        **_DEFAULTS,
        **given,
        **_FIXED,
        "store": kept,
        "reasoning": _reasoning(_object(sent.get("reasoning"))),
        "text": _text(_object(sent.get("text"))),
        "tools": [_tool(_object(tool)) for tool in tools] if isinstance(tools, list) else [],
    }
    if sent.get("user") is not None:
        made["user"] = sent["user"]
    return made


def _reasoning(sent: JSONObject) -> JSONObject:
    return {"effort": sent.get("effort"), "summary": sent.get("summary") or sent.get("generate_summary")}


def _text(sent: JSONObject) -> JSONObject:
    wanted = _object(sent.get("format")) or {"type": "text"}
    if wanted["type"] == "json_schema":
        wanted = {"name": "answer", "strict": False, **_given(wanted)}
    return {"format": wanted, "verbosity": sent.get("verbosity") or "medium"}


def _tool(sent: JSONObject) -> JSONObject:
    if sent.get("type") != "function":
        return sent
    return {**sent, **{key: sent.get(key) for key in ("description", "parameters")}, "strict": bool(sent.get("strict"))}


def _given(sent: JSONObject) -> JSONObject:
    return {key: value for key, value in sent.items() if value is not None}


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}


def decode(raw: bytes, catalog: Catalog, options: DialectOptions, past: History | None = None) -> ResponsesRequest:
    """Understand a request body.

    Args:
        raw: The body.
        catalog: The models.
        options: The operator's choices.
        past: What was said before, where the request goes on from a kept response.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    sent = validation.parse(raw)
    return read(going_on(sent, past), catalog, options, past, marked=b"cache" in raw)


def read(
    sent: JSON, catalog: Catalog, options: DialectOptions, past: History | None = None, *, marked: bool = True
) -> ResponsesRequest:
    """Understand a request that is plain data; the rest as `decode`.

    Args:
        sent: The request.
        catalog: The models.
        options: The operator's choices.
        past: What was said before.
        marked: Whether there may be cache marks in it.
    """
    data = normal(sent)
    request = validation.typed(data, CreateResponse)
    warnings: list[RequestWarning] = []
    warn_unknown_fields(data, request, options, warnings)
    refuse_unsupported(request, keeps=options.stores_responses)
    keeping = _keeping(request, options)
    note_ignored(request, warnings, kept=keeping is not None)
    request_options = agent_options.agent_terms(request.model, request.claude, warnings)
    resolved = resolve_model(agent_options.plain_model(request.model), catalog, warnings)
    model, cipher = resolved.model, options.cipher
    box = toolbox(request, warnings)
    asked = _asked(request)
    turns = ConversationBuilder(model, warnings, "input")
    turns.instruct(text_blocks(request.instructions), "instructions")
    reader = Reader(turns, Thoughts(model, warnings), cipher, warnings)
    restore_history(past, reader)
    reader.take(request.input)
    body = build_body(asked, turns, box, model, warnings)
    agent_options.check_beside(request_options, _not_of_agents(request, asked), body)
    _set_display(body, request, model, warnings)
    if marked:
        limit_cache_breakpoints(body, warnings)
    reader.thoughts.settle(body, PARAM if past else "input")
    refuse_mapped_fields(options, warnings)
    before = name_of(body, model, turns.media)
    return ResponsesRequest(
        body=body,
        resolved=resolved,
        stream=bool(request.stream),
        warnings=tuple(warnings),
        media=tuple(turns.media),
        request_options=request_options,
        storage=keeping,
        echo=echo(cast("JSONObject", sent), kept=keeping is not None),
        custom=custom_names(request.tools),
        tool_schemas=box.schemas,
        answer_format=asked.answer_format,
        summary=_wants_summary(request),
        seal=_seal(cipher, model, before) if ENCRYPTED in (request.include or ()) else None,
        sources=SOURCES in (request.include or ()),
        items=cast("JSONObject", data)["input"],
        tools=cast("JSONObject", sent).get("tools"),
        past=past.turns if past else (),
        before=before,
    )


def _not_of_agents(request: CreateResponse, asked: GenerationParams) -> dict[str, object]:
    return {
        "tools": request.tools,
        "tool_choice": request.tool_choice not in (None, "auto", "none"),
        "text.format": asked.answer_format,
    }


def _keeping(request: CreateResponse, options: DialectOptions) -> StorageOptions | None:
    if request.store is False or not options.stores_responses:
        return None
    return StorageOptions(
        requested=bool(request.store),
        background=bool(request.background),
        parent=request.previous_response_id,
        metadata=request.metadata or {},
    )


def _seal(
    cipher: ReasoningCipher | None, model: Model, before: Callable[[], str]
) -> Callable[[Block], str | None] | None:
    if cipher is None:
        return None
    return lambda block: cipher.thought(Thought(model.id, before(), block))


def _asked(request: CreateResponse) -> GenerationParams:
    return GenerationParams(
        max_tokens=request.max_output_tokens,
        limit_param="max_output_tokens",
        sampling=Sampling(request.temperature, request.top_p),
        effort=request.reasoning.effort if request.reasoning else None,
        effort_param="reasoning.effort",
        answer_format=_answer_format(request.text),
        verbosity=request.text.verbosity if request.text else None,
        verbosity_param="text.verbosity",
        user=request.safety_identifier or request.user,
    )


def _answer_format(asked: TextOptions | None) -> AnswerFormat | None:
    match asked and asked.format:
        case JSONSchemaFormat(schema=schema):
            return schema_format(schema, "text.format", "text.format.schema")
        case JSONObjectFormat():
            return AnswerFormat(None, "text.format")
        case _:
            return None


def _wants_summary(request: CreateResponse) -> bool:
    asked = request.reasoning
    return bool(asked and (asked.summary or asked.generate_summary))


def _set_display(body: MessagesRequest, request: CreateResponse, model: Model, warnings: list[RequestWarning]) -> None:
    """Thinking is shown only to those who ask to see it: the rest need not wait until it is summed up."""
    config = body.get("thinking")
    if not _wants_summary(request):
        if config is not None:
            config.pop("display", None)
    elif config is None and "adaptive" in model.thinking:
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
    elif config is None or config["type"] == "disabled":
        detail = f"{model.name} does not think in this answer; `reasoning.effort` may ask it to."
        warnings.append(RequestWarning("ignored", "reasoning.summary", detail))
