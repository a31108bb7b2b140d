"""A responses request to the canonical one."""

from typing import cast

from dragoman.catalog import Catalog, Model
from dragoman.errors import InvalidRequest
from dragoman.messages import JSONObject, MessagesRequest
from dragoman.notices import Notice
from dragoman.wire import agents, validation
from dragoman.wire.body import Asked, make_body
from dragoman.wire.cache_marks import limit_marks
from dragoman.wire.formats import AnswerFormat
from dragoman.wire.openai_responses import parameters
from dragoman.wire.openai_responses.echo import echo
from dragoman.wire.openai_responses.items import take
from dragoman.wire.openai_responses.normal import normal
from dragoman.wire.openai_responses.request import ResponsesRequest
from dragoman.wire.openai_responses.schema import CreateResponse
from dragoman.wire.openai_responses.tool_schema import JSONObjectFormat, JSONSchemaFormat, TextOptions
from dragoman.wire.openai_responses.tools import custom_names, toolbox
from dragoman.wire.options import WireOptions
from dragoman.wire.reading import note_unknown, refuse_mapped, resolve
from dragoman.wire.sampling import Sampling
from dragoman.wire.turns import Turns, text_blocks


def decode(raw: bytes, catalog: Catalog, options: WireOptions) -> ResponsesRequest:
    """Understand a request body.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    sent = validation.parse(raw)
    data = normal(sent)
    request = validation.typed(data, CreateResponse)
    notices: list[Notice] = []
    note_unknown(data, request, options, notices)
    parameters.refuse_unsupported(request)
    parameters.note_ignored(request, notices)
    terms = agents.agent_terms(request.model, request.claude, notices)
    resolved = resolve(agents.plain_model(request.model), catalog, notices)
    box = toolbox(request, notices)
    asked = _asked(request)
    turns = Turns(resolved.model, notices, "input")
    turns.instruct(text_blocks(request.instructions), "instructions")
    take(request.input, turns, notices)
    body = make_body(asked, turns, box, resolved.model, notices)
    agents.check_beside(terms, _not_of_agents(request, asked), body)
    _set_display(body, request, resolved.model, notices)
    if b"cache" in raw:
        limit_marks(body, notices)
    refuse_mapped(options, notices)
    return ResponsesRequest(
        body=body,
        resolved=resolved,
        stream=bool(request.stream),
        notices=tuple(notices),
        media=tuple(turns.media),
        terms=terms,
        echo=echo(cast("JSONObject", sent)),
        custom=custom_names(request.tools),
        tool_schemas=box.schemas,
        answer_format=asked.answer_format,
        summary=_wants_summary(request),
        encrypted=parameters.ENCRYPTED in (request.include or ()),
        sources=parameters.SOURCES in (request.include or ()),
    )


def _not_of_agents(request: CreateResponse, asked: Asked) -> dict[str, object]:
    return {
        "tools": request.tools,
        "tool_choice": request.tool_choice not in (None, "auto", "none"),
        "text.format": asked.answer_format,
    }


def _asked(request: CreateResponse) -> Asked:
    return Asked(
        max_tokens=request.max_output_tokens,
        limit_param="max_output_tokens",
        sampling=Sampling(request.temperature, request.top_p),
        effort=request.reasoning.effort if request.reasoning else None,
        effort_param="reasoning.effort",
        answer_format=_answer_format(request.text),
        user=request.safety_identifier or request.user,
    )


def _answer_format(asked: TextOptions | None) -> AnswerFormat | None:
    match asked and asked.format:
        case JSONSchemaFormat(schema=schema):
            if not schema:
                raise InvalidRequest("The schema is empty.", param="text.format.schema")
            return AnswerFormat(schema, "text.format")
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
