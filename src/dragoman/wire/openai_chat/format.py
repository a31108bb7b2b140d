"""`response_format`."""

from dragoman.wire.formats import AnswerFormat, schema_format
from dragoman.wire.openai_chat.tool_schema import JSONObjectFormat, JSONSchemaFormat, ResponseFormat


def answer_format(asked: ResponseFormat | None) -> AnswerFormat | None:
    """What the text of the answer must be.

    Raises:
        InvalidRequest: The schema is empty, or nested too deeply.
    """
    match asked:
        case JSONSchemaFormat(json_schema=wanted) if wanted.schema is not None:
            return schema_format(wanted.schema, "response_format", "response_format.json_schema.schema")
        case JSONSchemaFormat() | JSONObjectFormat():
            return AnswerFormat()
        case _:
            return None
