"""Structured answers: the API's own structured output for schemas, an instruction where it has none to offer."""

from dataclasses import dataclass

import msgspec

from dragoman.errors import InvalidRequest
from dragoman.messages import JSONObject
from dragoman.notices import Notice
from dragoman.wire.json_schemas import check_depth, closed, not_enforced

OBJECT_INSTRUCTION = (
    "Answer with exactly one valid JSON object and nothing else: no words around it, and no code fence."
)

SCHEMA_INSTRUCTION = (
    "Answer with exactly one valid JSON value that fits the JSON schema below, and nothing else: no words around it, "
    "and no code fence.\n\n{schema}"
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

    @property
    def is_enforced(self) -> bool:
        """Whether the API holds the model to it."""
        return self.schema is not None and not_enforced(self.schema) is None


def schema_format(schema: JSONObject, param: str, place: str) -> AnswerFormat:
    """The format that a client's schema asks for.

    Args:
        schema: The schema.
        param: Where the client asked for a format.
        place: Where the schema itself stands.

    Raises:
        InvalidRequest: The schema is empty, or nested too deeply.
    """
    if not schema:
        raise InvalidRequest("The schema is empty.", param=place)
    check_depth(schema, place)
    return AnswerFormat(schema, param)


def api_format(wanted: AnswerFormat) -> JSONObject | None:
    """`output_config.format` of the body, where the API can hold the model to it."""
    if wanted.schema is None or not wanted.is_enforced:
        return None
    return {"type": "json_schema", "schema": closed(wanted.schema)}


def instruction(wanted: AnswerFormat | None, notices: list[Notice]) -> str | None:
    """What the model is told where the API has no mode for it: for just any object, or a schema that it refuses."""
    if wanted is None:
        return None
    if wanted.schema is None:
        return OBJECT_INSTRUCTION
    if (reason := not_enforced(wanted.schema)) is None:
        return None
    detail = f"Claude's structured output takes no {reason}; it was told the schema in words."
    notices.append(Notice("mapped", wanted.param, detail))
    return SCHEMA_INSTRUCTION.format(schema=msgspec.json.encode(wanted.schema).decode())
