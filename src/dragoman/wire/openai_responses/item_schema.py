"""The input items of a responses request, as clients send them, answers sent back included.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragoman.wire.json_types import JSON, JSONObject


class InputText(Struct, tag_field="type", tag="input_text"):
    """Text of a user, a developer or a tool."""

    text: str
    prompt_cache_breakpoint: JSONObject | None = None


class InputImage(Struct, tag_field="type", tag="input_image"):
    """An image. `file_id` is not supported: there is no file store."""

    image_url: Annotated[str, Meta(description="A data URL (PNG, JPEG, GIF, WebP) or an https URL.")] | None = None
    file_id: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: JSONObject | None = None


class InputFile(Struct, tag_field="type", tag="input_file"):
    """A document. `file_id` is not supported: there is no file store."""

    file_data: Annotated[str, Meta(description="PDF or plain text, as data URL or base64.")] | None = None
    file_url: str | None = None
    filename: str | None = None
    file_id: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: JSONObject | None = None


class InputAudio(Struct, tag_field="type", tag="input_audio"):
    """Audio: refused by name."""

    input_audio: JSON = None


class OutputText(Struct, tag_field="type", tag="output_text"):
    """Text of the assistant."""

    text: str
    annotations: JSON = None
    logprobs: JSON = None


class Refusal(Struct, tag_field="type", tag="refusal"):
    """What the assistant said when it declined."""

    refusal: str


Part = InputText | InputImage | InputFile | InputAudio | OutputText | Refusal
ResultPart = InputText | InputImage | InputFile


class Message(Struct, tag_field="type", tag="message"):
    """What somebody said. `type` may be left out."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part]
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class FunctionCall(Struct, tag_field="type", tag="function_call"):
    """A function that the assistant called."""

    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: str | None = None


class FunctionCallOutput(Struct, tag_field="type", tag="function_call_output"):
    """What it gave."""

    call_id: str
    output: str | list[ResultPart]
    id: str | None = None
    status: str | None = None


class CustomToolCall(Struct, tag_field="type", tag="custom_tool_call"):
    """A tool of free text that the assistant called."""

    call_id: str
    name: str
    input: str
    id: str | None = None
    status: str | None = None


class CustomToolCallOutput(Struct, tag_field="type", tag="custom_tool_call_output"):
    """What it gave."""

    call_id: str
    output: str | list[ResultPart]
    id: str | None = None
    status: str | None = None


class Reasoning(Struct, tag_field="type", tag="reasoning"):
    """What the assistant thought. Only `encrypted_content` is anything to Claude."""

    summary: JSON = None
    content: JSON = None
    encrypted_content: str | None = None
    id: str | None = None
    status: str | None = None


class WebSearchCall(Struct, tag_field="type", tag="web_search_call"):
    """A search that was made: left out, since what it found is not in it."""

    id: str | None = None
    status: str | None = None
    action: JSON = None


class Compaction(Struct, tag_field="type", tag="compaction"):
    """What stands for a conversation that `POST /v1/responses/compact` has summed up."""

    encrypted_content: str
    id: str | None = None


class ItemReference(Struct, tag_field="type", tag="item_reference"):
    """An item by its id: refused by name."""

    id: str


InputItem = (
    Message
    | FunctionCall
    | FunctionCallOutput
    | CustomToolCall
    | CustomToolCallOutput
    | Reasoning
    | WebSearchCall
    | Compaction
    | ItemReference
)
KINDS = frozenset(str(kind.__struct_config__.tag) for kind in InputItem.__args__)
"""The `type` of every item that is understood."""
