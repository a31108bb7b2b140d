"""Structured answers: the API's own structured output for schemas, an instruction for free objects."""

from dataclasses import dataclass

from dragoman.messages import JSONObject
from dragoman.wire.json_schemas import closed

OBJECT_INSTRUCTION = (
    "Answer with exactly one valid JSON object and nothing else: no words around it, and no code fence."
)


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """What the text of the answer must be.

    Attributes:
        schema: The client's own JSON schema; none where any JSON object will do.
        param: Where the client said so.
    """

    schema: JSONObject | None = None
    param: str = "response_format"


def api_format(wanted: AnswerFormat | None) -> JSONObject | None:
    """`output_config.format` of the body, where there is a schema."""
    if wanted is None or wanted.schema is None:
        return None
    return {"type": "json_schema", "schema": closed(wanted.schema)}


def instruction(wanted: AnswerFormat | None) -> str | None:
    """What the model is told where there is no schema: the API has no mode for just any object."""
    return OBJECT_INSTRUCTION if wanted is not None and wanted.schema is None else None
