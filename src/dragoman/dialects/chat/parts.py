"""The parts of a message's content: those of chat completions, and those of the other APIs that editors send here.

Some editors send a model that they know as Claude what the Messages API or the Responses API would get, and expect a
chat completion. Every part is understood where it is, so errors name its real place.
"""

from typing import Annotated

from msgspec import Meta, Struct

from dragoman.dialects.shared.json_types import JSON, JSONObject


class TextPart(Struct, tag_field="type", tag="text"):
    """Text."""

    text: str
    cache_control: JSONObject | None = None
    prompt_cache_breakpoint: JSONObject | None = None


class ImageURL(Struct):
    """The URL of an image."""

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
    """The text of a refusal."""

    refusal: str


class InputTextPart(Struct, tag_field="type", tag="input_text"):
    """Text, as in the Responses API."""

    text: str
    cache_control: JSONObject | None = None


class OutputTextPart(Struct, tag_field="type", tag="output_text"):
    """Text of the assistant, as in the Responses API."""

    text: str
    annotations: JSON = None
    logprobs: JSON = None


class InputImagePart(Struct, tag_field="type", tag="input_image"):
    """An image, as in the Responses API. `file_id` is not supported."""

    image_url: ImageURL | str | None = None
    detail: str | None = None
    file_id: str | None = None


class InputFilePart(Struct, tag_field="type", tag="input_file"):
    """A document, as in the Responses API. `file_id` is not supported."""

    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    file_id: str | None = None


class MediaSource(Struct):
    """Where the data of an image or a document is, as in the Messages API."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None


class ClaudeImagePart(Struct, tag_field="type", tag="image"):
    """An image, as in the Messages API."""

    source: MediaSource
    cache_control: JSONObject | None = None


class ClaudeDocumentPart(Struct, tag_field="type", tag="document"):
    """A document, as in the Messages API."""

    source: MediaSource
    title: str | None = None
    cache_control: JSONObject | None = None


_MediaPart = ImagePart | InputImagePart | ClaudeImagePart | FilePart | InputFilePart | ClaudeDocumentPart
ResultPart = TextPart | InputTextPart | OutputTextPart | _MediaPart | AudioPart
"""A part of a tool's result."""


class ToolResultPart(Struct, tag_field="type", tag="tool_result"):
    """The result of a tool call, as in the Messages API."""

    tool_use_id: str
    content: str | list[ResultPart] | None = None
    is_error: bool | None = None
    cache_control: JSONObject | None = None


class ToolUsePart(Struct, tag_field="type", tag="tool_use"):
    """A tool call, as in the Messages API."""

    id: str
    name: str
    input: JSON = None
    cache_control: JSONObject | None = None


class ThinkingPart(Struct, tag_field="type", tag="thinking"):
    """Thinking, as in the Messages API."""

    thinking: str = ""
    signature: str | None = None


class RedactedThinkingPart(Struct, tag_field="type", tag="redacted_thinking"):
    """Encrypted thinking, as in the Messages API."""

    data: str


UserPart = ResultPart | ToolResultPart
AssistantPart = TextPart | OutputTextPart | RefusalPart | ToolUsePart | ThinkingPart | RedactedThinkingPart
