"""The messages of a chat completions request, as clients send them.

Wider than the published description where clients are: answers sent back whole carry fields of answers.
Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from typing import Annotated

from msgspec import Meta, Struct

from dragoman.wire.json_types import JSON, JSONObject


class TextPart(Struct, tag_field="type", tag="text"):
    """Text."""

    text: str
    cache_control: JSONObject | None = None
    prompt_cache_breakpoint: JSONObject | None = None


class ImageURL(Struct):
    """Where an image is."""

    url: Annotated[str, Meta(description="A data URL (PNG, JPEG, GIF, WebP) or an https URL.")]
    detail: str | None = None


class ImagePart(Struct, tag_field="type", tag="image_url"):
    """An image."""

    image_url: ImageURL | str
    cache_control: JSONObject | None = None
    prompt_cache_breakpoint: JSONObject | None = None


class FileData(Struct):
    """A file's content. `file_id` is not supported: there is no file store."""

    file_data: Annotated[str, Meta(description="PDF or plain text, as data URL, base64 or https URL.")] | None = None
    filename: str | None = None
    file_id: str | None = None


class FilePart(Struct, tag_field="type", tag="file"):
    """A document."""

    file: FileData
    cache_control: JSONObject | None = None
    prompt_cache_breakpoint: JSONObject | None = None


class AudioPart(Struct, tag_field="type", tag="input_audio"):
    """Audio: refused by name."""

    input_audio: JSON


class RefusalPart(Struct, tag_field="type", tag="refusal"):
    """What the assistant said when it declined."""

    refusal: str


UserPart = TextPart | ImagePart | FilePart | AudioPart
AssistantPart = TextPart | RefusalPart


class SystemMessage(Struct, tag_field="role", tag="system"):
    """Instructions."""

    content: str | list[TextPart]
    name: str | None = None


class DeveloperMessage(Struct, tag_field="role", tag="developer"):
    """Instructions, under their newer name."""

    content: str | list[TextPart]
    name: str | None = None


class UserMessage(Struct, tag_field="role", tag="user"):
    """What the user says."""

    content: str | list[UserPart]
    name: str | None = None


class FunctionCall(Struct):
    """A function's name and its arguments as JSON text."""

    name: str
    arguments: str | None = None


class ToolCall(Struct):
    """A call that the assistant made."""

    id: str
    function: FunctionCall | None = None
    type: str = "function"
    custom: JSON = None
    index: int | None = None


class AssistantMessage(Struct, tag_field="role", tag="assistant"):
    """What the assistant said, thought and called."""

    content: str | list[AssistantPart] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None
    reasoning_content: str | None = None
    reasoning_details: list[JSONObject] | None = None
    name: str | None = None
    audio: JSON = None
    annotations: JSON = None


class ToolMessage(Struct, tag_field="role", tag="tool"):
    """The result of a call."""

    tool_call_id: str
    content: str | list[UserPart] | None = None
    name: str | None = None


class FunctionMessage(Struct, tag_field="role", tag="function"):
    """The result of a call, in the form before tools."""

    name: str
    content: str | None = None


ChatMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage
