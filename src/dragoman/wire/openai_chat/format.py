"""`response_format`: the API's own structured output for schemas, an instruction for free objects, a check for both."""

from dragoman.errors import InvalidRequest
from dragoman.messages import JSONObject
from dragoman.wire.json_schemas import closed
from dragoman.wire.openai_chat.request import AnswerFormat
from dragoman.wire.openai_chat.tool_schema import JSONObjectFormat, JSONSchemaFormat, ResponseFormat

OBJECT_INSTRUCTION = (
    "Answer with exactly one valid JSON object and nothing else: no words around it, and no code fence."
)


def answer_format(asked: ResponseFormat | None) -> AnswerFormat | None:
    """What the text of the answer must be.

    Raises:
        InvalidRequest: The schema is empty.
    """
    match asked:
        case JSONSchemaFormat(json_schema=wanted) if wanted.schema is not None:
            if not wanted.schema:
                raise InvalidRequest("The schema is empty.", param="response_format.json_schema.schema")
            return AnswerFormat(wanted.schema)
        case JSONSchemaFormat() | JSONObjectFormat():
            return AnswerFormat()
        case _:
            return None


def api_format(wanted: AnswerFormat | None) -> JSONObject | None:
    """`output_config.format` of the body, where there is a schema."""
    if wanted is None or wanted.schema is None:
        return None
    return {"type": "json_schema", "schema": closed(wanted.schema)}


def instruction(wanted: AnswerFormat | None) -> str | None:
    """What the model is told where there is no schema: the API has no mode for just any object."""
    return OBJECT_INSTRUCTION if wanted is not None and wanted.schema is None else None
