"""The input of a request: items and content parts, converted to messages of the Messages API."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never, cast

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.media import Placed
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.responses.reasoning import ReturnedThinking
from dragoman.dialects.responses.schema import (
    ITEM_TYPES,
    TOOL_TYPES,
    WEB_SEARCH_TYPES,
    Compaction,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputFile,
    InputImage,
    InputItem,
    InputText,
    ItemReference,
    Message,
    OutputText,
    Part,
    Reasoning,
    Refusal,
    WebSearchCall,
)
from dragoman.dialects.responses.tools import custom_tool_arguments
from dragoman.dialects.shared.conversation import ConversationBuilder, text_blocks
from dragoman.dialects.shared.media_blocks import document_block, image_block
from dragoman.dialects.shared.sealing import ReasoningCipher
from dragoman.dialects.shared.tool_calls import call_arguments

# Stored thinking is bound to these words: a change makes it invalid.
SUMMARY_INTRODUCTION = (
    "This is a summary of the conversation so far; the messages themselves are not shown any more.\n\n"
)
"""The text before the summary of a compacted conversation."""

_FOREIGN_CONTENT = "This gateway did not encrypt this content for this key, or it was changed since"


def normalize(data: JSON) -> JSON:
    """Return the request with a `type` on every item and tool, as the schema requires.

    Anything but an object is returned unchanged; the schema rejects it.

    Raises:
        UnsupportedFeature: An item has an unsupported type; `param` names it.
    """
    if not isinstance(data, dict):
        return data
    normalized = dict(data)
    if isinstance(items := data.get("input"), list):
        normalized["input"] = [_normalize_item(item, index) for index, item in enumerate(items)]
    if isinstance(tools := data.get("tools"), list):
        normalized["tools"] = [_normalize_tool(tool) for tool in tools]
    return normalized


def _normalize_item(item: JSON, index: int) -> JSON:
    if not isinstance(item, dict):
        return item
    item_type = item.get("type")
    if item_type is None and "role" in item:
        return {**item, "type": "message"}
    if item_type is None and "id" in item:
        return {**item, "type": "item_reference"}
    if isinstance(item_type, str) and item_type not in ITEM_TYPES:
        detail = f"Input items of type `{item_type[:60]}` are not supported. Remove the item from `input`."
        raise UnsupportedFeature(detail, param=f"input[{index}].type")
    return item


def _normalize_tool(tool: JSON) -> JSON:
    tool_type = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(tool_type, str):
        return tool
    if tool_type in WEB_SEARCH_TYPES:
        return {**cast("JSONObject", tool), "type": "web_search"}
    return tool if tool_type in TOOL_TYPES else {"type": "other", "kind": tool_type}


@dataclass(frozen=True, slots=True)
class InputReader:
    """Adds input items to a conversation.

    Attributes:
        conversation: Receives the messages.
        thinking: Checks the thinking that comes back.
        cipher: Decrypts the content that clients send back; None if the gateway has no key.
        warnings: Receives a warning for each item that is ignored or left out.
    """

    conversation: ConversationBuilder
    thinking: ReturnedThinking
    cipher: ReasoningCipher | None
    warnings: list[RequestWarning]

    def read(self, given: str | list[InputItem]) -> None:
        """Add the whole `input` of a request and close the conversation.

        Raises:
            InvalidRequest: An item is invalid, or not allowed where it is; `param` names it.
        """
        if isinstance(given, str):
            self.conversation.add_user(text_blocks(given), "input")
            self.conversation.finish("input")
            return
        self.add(given, "input")
        self.conversation.finish(f"input[{len(given) - 1}]" if given else "input")

    def add(self, items: Sequence[InputItem], field: str) -> None:
        """Add items.

        Args:
            items: The items.
            field: The request field that they come from, for errors and warnings.

        Raises:
            InvalidRequest: As in `read`.
        """
        for index, item in enumerate(items):
            self._add(item, f"{field}[{index}]")

    def _add(self, item: InputItem, path: str) -> None:
        match item:
            case Message():
                self._add_message(item, path)
            case FunctionCall():
                self._add_call(item, call_arguments(item.arguments, f"{path}.arguments", self.warnings), path)
            case CustomToolCall():
                self._add_call(item, custom_tool_arguments(item.input), path)
            case FunctionCallOutput() | CustomToolCallOutput():
                id_ = self.conversation.calls.take_result(item.call_id, f"{path}.call_id")
                blocks = content_blocks(item.output, f"{path}.output", self.conversation.media)
                self.conversation.add_tool_result(id_, blocks)
            case Reasoning():
                blocks = self._thinking_blocks(item, path)
                self._begin_answer(path)
                self.conversation.add_assistant(blocks)
            case Compaction():
                self._add_summary(item, path)
            case WebSearchCall():
                detail = "The item does not contain the search results; Claude searches again if it needs to."
                self.warnings.append(RequestWarning("ignored", path, detail))
            case ItemReference():
                detail = "References to items are not supported. Send the item itself in `input`."
                raise UnsupportedFeature(detail, param=f"{path}.id")
            case _:
                assert_never(item)

    def _add_message(self, item: Message, path: str) -> None:
        content = f"{path}.content"
        if item.role == "user":
            self.conversation.add_user(content_blocks(item.content, content, self.conversation.media), path)
        elif item.role == "assistant":
            self._begin_answer(path)
            self.conversation.add_assistant(_text_only_blocks(item.content, content))
        else:
            self.conversation.add_instructions(_text_only_blocks(item.content, content), path)

    def _add_call(self, item: FunctionCall | CustomToolCall, arguments: JSONObject, path: str) -> None:
        self._begin_answer(path)
        calls = self.conversation.calls
        self.conversation.add_assistant(
            [calls.add_call(item.call_id, item.name, arguments, id_=item.call_id, path=f"{path}.call_id")]
        )

    def _begin_answer(self, path: str) -> None:
        """Begin an assistant message, or continue it: several calls of one message are several items."""
        conversation = self.conversation
        if not (conversation.calls.pending and conversation.messages[-1]["role"] == "assistant"):
            conversation.calls.path = path
            conversation.begin_assistant(path)

    def _thinking_blocks(self, item: Reasoning, path: str) -> list[Block]:
        if not item.encrypted_content:
            detail = (
                "Only reasoning with `encrypted_content` can be sent back; "
                'request it with `include: ["reasoning.encrypted_content"]`.'
            )
            self.warnings.append(RequestWarning("ignored", path, detail))
            return []
        param = f"{path}.encrypted_content"
        if self.cipher and (thought := self.cipher.decrypt_thought(item.encrypted_content)):
            return self.thinking.accept(thought, param)
        self.warnings.append(RequestWarning("left_out", param, f"{_FOREIGN_CONTENT}; Claude cannot use it."))
        return []

    def _add_summary(self, item: Compaction, path: str) -> None:
        summary = self.cipher.decrypt_summary(item.encrypted_content) if self.cipher else None
        if summary is None:
            detail = f"{_FOREIGN_CONTENT}. Send the messages themselves in `input`."
            raise InvalidRequest(detail, param=f"{path}.encrypted_content")
        self.conversation.add_user(text_blocks(SUMMARY_INTRODUCTION + summary), path)


def content_blocks(content: str | Sequence[Part], path: str, media: list[Placed]) -> list[Block]:
    """Convert the content of a message or of a tool result.

    Args:
        content: A text, or content parts.
        path: Its path in the request, for errors.
        media: Receives the images and documents in it.

    Raises:
        InvalidRequest: A part is invalid; `param` names it.
    """
    if isinstance(content, str):
        return text_blocks(content)
    return [block for index, part in enumerate(content) for block in _part_blocks(part, f"{path}[{index}]", media)]


def _text_only_blocks(content: str | Sequence[Part], path: str) -> list[Block]:
    media: list[Placed] = []
    blocks = content_blocks(content, path, media)
    if media:
        detail = "Only messages with the role `user` may contain images and files. Move it to such a message."
        raise UnsupportedFeature(detail, param=media[0].param)
    return blocks


def _part_blocks(part: Part, path: str, media: list[Placed]) -> list[Block]:
    match part:
        case InputText():
            return _with_cache_breakpoint(text_blocks(part.text), part)
        case OutputText():
            return text_blocks(part.text)
        case Refusal():
            return text_blocks(part.refusal)
        case InputImage():
            placed = _image(part, path)
        case InputFile():
            placed = _file(part, path)
        case InputAudio():
            detail = "Claude does not accept audio. Send text, images or documents."
            raise UnsupportedFeature(detail, param=f"{path}.input_audio")
        case _:
            assert_never(part)
    media.append(placed)
    return _with_cache_breakpoint([placed.block], part)


def _image(part: InputImage, path: str) -> Placed:
    param = f"{path}.image_url"
    if part.image_url is not None:
        return Placed(param, image_block(part.image_url, param))
    _refuse_file_id(part.file_id, path, "Send the image itself in `image_url`.")
    raise InvalidRequest(f"Missing required parameter: `{param}`.", code="missing_required_parameter", param=param)


def _file(part: InputFile, path: str) -> Placed:
    if part.file_data is None and part.file_url is not None:
        param = f"{path}.file_url"
        return Placed(param, document_block(part.file_url, part.filename, param))
    param = f"{path}.file_data"
    if part.file_data is not None:
        return Placed(param, document_block(part.file_data, part.filename, param))
    _refuse_file_id(part.file_id, path, "Send the file itself in `file_data`.")
    raise InvalidRequest(f"Missing required parameter: `{param}`.", code="missing_required_parameter", param=param)


def _refuse_file_id(file_id: str | None, path: str, advice: str) -> None:
    if file_id is not None:
        raise UnsupportedFeature(f"`file_id` is not supported: no files are stored. {advice}", param=f"{path}.file_id")


def _with_cache_breakpoint(blocks: list[Block], part: InputText | InputImage | InputFile) -> list[Block]:
    if part.prompt_cache_breakpoint is None:
        return blocks
    return [{**block, "cache_control": {"type": "ephemeral"}} for block in blocks]
