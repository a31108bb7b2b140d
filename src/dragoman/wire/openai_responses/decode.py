"""A responses request to the canonical one."""

from collections.abc import Callable
from typing import cast

from dragoman.catalog import Catalog, Model
from dragoman.messages import JSON, Block, JSONObject, MessagesRequest
from dragoman.notices import Notice
from dragoman.wire import agents, validation
from dragoman.wire.base import Keeping
from dragoman.wire.body import Asked, make_body
from dragoman.wire.cache_marks import limit_marks
from dragoman.wire.formats import AnswerFormat, schema_format
from dragoman.wire.openai_responses import parameters
from dragoman.wire.openai_responses.echo import echo
from dragoman.wire.openai_responses.items import Reader
from dragoman.wire.openai_responses.normal import normal
from dragoman.wire.openai_responses.past import PARAM, Past, going_on, recall
from dragoman.wire.openai_responses.request import ResponsesRequest
from dragoman.wire.openai_responses.schema import CreateResponse
from dragoman.wire.openai_responses.thoughts import Thoughts, name_of
from dragoman.wire.openai_responses.tool_schema import JSONObjectFormat, JSONSchemaFormat, TextOptions
from dragoman.wire.openai_responses.tools import custom_names, toolbox
from dragoman.wire.options import WireOptions
from dragoman.wire.reading import note_unknown, refuse_mapped, resolve
from dragoman.wire.sampling import Sampling
from dragoman.wire.sealing import Thought, Vault
from dragoman.wire.turns import Turns, text_blocks


def decode(raw: bytes, catalog: Catalog, options: WireOptions, past: Past | None = None) -> ResponsesRequest:
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
    sent: JSON, catalog: Catalog, options: WireOptions, past: Past | None = None, *, marked: bool = True
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
    notices: list[Notice] = []
    note_unknown(data, request, options, notices)
    parameters.refuse_unsupported(request, keeps=options.keeps)
    keeping = _keeping(request, options)
    parameters.note_ignored(request, notices, kept=keeping is not None)
    terms = agents.agent_terms(request.model, request.claude, notices)
    resolved = resolve(agents.plain_model(request.model), catalog, notices)
    model, vault = resolved.model, options.vault
    box = toolbox(request, notices)
    asked = _asked(request)
    turns = Turns(model, notices, "input")
    turns.instruct(text_blocks(request.instructions), "instructions")
    reader = Reader(turns, Thoughts(model, notices), vault, notices)
    recall(past, reader)
    reader.take(request.input)
    body = make_body(asked, turns, box, model, notices)
    agents.check_beside(terms, _not_of_agents(request, asked), body)
    _set_display(body, request, model, notices)
    if marked:
        limit_marks(body, notices)
    reader.thoughts.settle(body, PARAM if past else "input")
    refuse_mapped(options, notices)
    before = name_of(body, model, turns.media)
    return ResponsesRequest(
        body=body,
        resolved=resolved,
        stream=bool(request.stream),
        notices=tuple(notices),
        media=tuple(turns.media),
        terms=terms,
        keeping=keeping,
        echo=echo(cast("JSONObject", sent), kept=keeping is not None),
        custom=custom_names(request.tools),
        tool_schemas=box.schemas,
        answer_format=asked.answer_format,
        summary=_wants_summary(request),
        seal=_seal(vault, model, before) if parameters.ENCRYPTED in (request.include or ()) else None,
        sources=parameters.SOURCES in (request.include or ()),
        items=cast("JSONObject", data)["input"],
        tools=cast("JSONObject", sent).get("tools"),
        past=past.turns if past else (),
        before=before,
    )


def _not_of_agents(request: CreateResponse, asked: Asked) -> dict[str, object]:
    return {
        "tools": request.tools,
        "tool_choice": request.tool_choice not in (None, "auto", "none"),
        "text.format": asked.answer_format,
    }


def _keeping(request: CreateResponse, options: WireOptions) -> Keeping | None:
    if request.store is False or not options.keeps:
        return None
    return Keeping(
        asked=bool(request.store),
        background=bool(request.background),
        parent=request.previous_response_id,
        labels=request.metadata or {},
    )


def _seal(vault: Vault | None, model: Model, before: Callable[[], str]) -> Callable[[Block], str | None] | None:
    if vault is None:
        return None
    return lambda block: vault.thought(Thought(model.id, before(), block))


def _asked(request: CreateResponse) -> Asked:
    return Asked(
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


def _set_display(body: MessagesRequest, request: CreateResponse, model: Model, notices: list[Notice]) -> None:
    """Thinking is shown only to those who ask to see it: the rest need not wait until it is summed up."""
    config = body.get("thinking")
    if not _wants_summary(request):
        if config is not None:
            config.pop("display", None)
    elif config is None and "adaptive" in model.thinking:
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
    elif config is None or config["type"] == "disabled":
        detail = f"{model.name} does not think in this answer; `reasoning.effort` may ask it to."
        notices.append(Notice("ignored", "reasoning.summary", detail))
