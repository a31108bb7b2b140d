"""`response_format`."""

from dragoman.errors import InvalidRequest
from dragoman.wire.formats import AnswerFormat
from dragoman.wire.openai_chat.tool_schema import JSONObjectFormat, JSONSchemaFormat, ResponseFormat


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
