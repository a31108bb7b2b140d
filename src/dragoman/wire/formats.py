"""Structured answers: the API's own structured output for schemas, an instruction where it has none to offer."""

from dataclasses import dataclass

import msgspec

from dragoman.messages import JSONObject
from dragoman.notices import Notice
from dragoman.wire.json_schemas import closed, has_open_objects

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
        """Whether the API holds the model to it. It takes only objects whose keys are all named."""
        return self.schema is not None and not has_open_objects(self.schema)


def api_format(wanted: AnswerFormat) -> JSONObject | None:
    """`output_config.format` of the body, where the API can hold the model to it."""
    if wanted.schema is None or not wanted.is_enforced:
        return None
    return {"type": "json_schema", "schema": closed(wanted.schema)}


def instruction(wanted: AnswerFormat | None, notices: list[Notice]) -> str | None:
    """What the model is told where the API has no mode for it: for just any object, or one with keys of its own."""
    if wanted is None or wanted.is_enforced:
        return None
    if wanted.schema is None:
        return OBJECT_INSTRUCTION
    detail = (
        "Claude's structured output takes no objects with other keys than named ones; it was told the schema in words."
    )
    notices.append(Notice("mapped", wanted.param, detail))
    return SCHEMA_INSTRUCTION.format(schema=msgspec.json.encode(wanted.schema).decode())
