"""The input of a request: items, converted to messages of the Messages API."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import assert_never, cast

import msgspec

from dragoman.core.conversation import THINKING_TYPES
from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.responses.content import FOREIGN_CONTENT, content_blocks, text_only_blocks
from dragoman.dialects.responses.input_calls import (
    CallItem,
    ResultItem,
    call_of,
    loaded_tools_text,
    result_key,
    result_text,
)
from dragoman.dialects.responses.item_schema import (
    ITEM_TYPE_ALIASES,
    ITEM_TYPES,
    AdditionalTools,
    AgentMessage,
    Compaction,
    ConfigurationUpdate,
    ContextCompaction,
    CustomToolCallOutput,
    FunctionCallOutput,
    GhostSnapshot,
    ImageGenerationCall,
    InputItem,
    ItemReference,
    Message,
    Reasoning,
    ToolSearchOutput,
    WebSearchCall,
)
from dragoman.dialects.responses.reasoning import ReturnedThinking
from dragoman.dialects.responses.references import NO_REFERENCES, ReferencedItem
from dragoman.dialects.responses.tool_names import ToolNames
from dragoman.dialects.responses.tool_schema import normalize_tools
from dragoman.dialects.shared.conversation import ConversationBuilder, text_blocks
from dragoman.dialects.shared.sealing import ReasoningCipher, Thought

# Stored thinking is bound to these words: a change makes it invalid.
SUMMARY_INTRODUCTION = (
    "This is a summary of the conversation so far; the messages themselves are not shown any more.\n\n"
)
"""The text before the summary of a compacted conversation."""

_LEFT_OUT: Mapping[type[InputItem], str] = {
    WebSearchCall: "The item does not contain the search results; Claude searches again if it needs to.",
    ImageGenerationCall: "Claude's messages cannot contain images. Send the image in a message of the user.",
    ConfigurationUpdate: "Claude has no equivalent of this item.",
}
"""Items that are ignored with a warning, and why."""


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
    if "tools" in data:
        normalized["tools"] = normalize_tools(data["tools"])
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
        if item_type in ITEM_TYPE_ALIASES:
            return {**item, "type": ITEM_TYPE_ALIASES[item_type]}
        if item_type == "compaction_trigger":
            raise InvalidRequest("A `compaction_trigger` must be the last item of `input`.", param=f"input[{index}]")
        detail = f"Input items of type `{item_type[:60]}` are not supported. Remove the item from `input`."
        raise UnsupportedFeature(detail, param=f"input[{index}].type")
    return {**item, "tools": normalize_tools(item["tools"])} if "tools" in item else item


@value_object
class InputReader:
    """Adds input items to a conversation.

    Attributes:
        conversation: Receives the messages.
        thinking: Checks the thinking that comes back.
        cipher: Decrypts the content that clients send back; None if the gateway has no key.
        warnings: Receives a warning for each item that is ignored or left out.
        names: The names that Claude knows the tools by.
        references: The items that the request refers to, by their ids.
    """

    conversation: ConversationBuilder
    thinking: ReturnedThinking
    cipher: ReasoningCipher | None
    warnings: list[RequestWarning]
    names: ToolNames
    references: Mapping[str, ReferencedItem] = field(default_factory=lambda: NO_REFERENCES)

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

    def add_stored_block(self, block: Block, model: str, conversation_hash: str, path: str) -> None:
        """Add a content block of a stored message of Claude's, unchanged, to the assistant message that has begun.

        Args:
            block: The block.
            model: The id of the model that wrote it.
            conversation_hash: The exact hash of the conversation before its message.
            path: The path in the request, for warnings.
        """
        self.conversation.add_assistant(self._replayed(block, Thought(model, conversation_hash, block), path))

    def _replayed(self, block: Block, thought: Thought, path: str) -> list[Block]:
        if block.get("type") in THINKING_TYPES:
            return self.thinking.accept(thought, path)
        if block.get("type") == "tool_use":
            id_, arguments = str(block["id"]), cast("JSONObject", block["input"])
            call = self.conversation.calls.add_call(id_, str(block["name"]), arguments, id_=id_, path=path)
            return [{**block, **call}]
        return [dict(block)]

    def _add(self, item: InputItem, path: str) -> None:
        match item:
            case Message():
                self._add_message(item, path)
            case AgentMessage():
                self._add_agent_message(item, path)
            case FunctionCallOutput(call_id=None):
                self._add_uncalled_output(item, path)
            case FunctionCallOutput() | CustomToolCallOutput():
                blocks = content_blocks(item.output, f"{path}.output", self.conversation.media, self.warnings)
                self._add_result(item.call_id or "", blocks, path)
            case ToolSearchOutput():
                self._add_result(item.call_id or "", text_blocks(loaded_tools_text(item, self.names)), path)
            case AdditionalTools() | GhostSnapshot():
                pass  # the tools are in the request already, and no model sees the state of the client's files
            case Reasoning():
                blocks = self._thinking_blocks(item, path)
                self._begin_answer(path)
                self.conversation.add_assistant(blocks)
            case Compaction() | ContextCompaction():
                self._add_summary(item.encrypted_content, path)
            case WebSearchCall() | ImageGenerationCall() | ConfigurationUpdate():
                reason = next(reason for kind, reason in _LEFT_OUT.items() if isinstance(item, kind))
                self.warnings.append(RequestWarning("ignored", path, reason))
            case ItemReference():
                self._add_referenced(item, path)
            case _:
                self._add_call_or_result(item, path)

    def _add_call_or_result(self, item: CallItem | ResultItem, path: str) -> None:
        if isinstance(item, ResultItem):
            self._add_result(result_key(item), text_blocks(result_text(item)), path)
        elif isinstance(item, CallItem):
            self._add_call(item, path)
        else:
            assert_never(item)

    def _add_message(self, item: Message, path: str) -> None:
        content = f"{path}.content"
        if item.role == "user":
            blocks = content_blocks(item.content, content, self.conversation.media, self.warnings)
            self.conversation.add_user(blocks, path)
        elif item.role == "assistant":
            self._begin_answer(path)
            self.conversation.add_assistant(text_only_blocks(item.content, content))
        else:
            self.conversation.add_instructions(text_only_blocks(item.content, content), path)

    def _add_agent_message(self, item: AgentMessage, path: str) -> None:
        # Stored thinking is bound to these words: a change makes it invalid.
        heading = f"Message from `{item.author}` to `{item.recipient}`:"
        blocks = content_blocks(item.content, f"{path}.content", self.conversation.media, self.warnings)
        self.conversation.add_user([*text_blocks(heading), *blocks] if blocks else [], path)

    def _add_uncalled_output(self, item: FunctionCallOutput, path: str) -> None:
        # Stored thinking is bound to these words: a change makes it invalid.
        heading = f"Output of the tool `{item.name}`:" if item.name else "Output of a tool:"
        blocks = content_blocks(item.output, f"{path}.output", self.conversation.media, self.warnings)
        self.conversation.add_user([*text_blocks(heading), *blocks] if blocks else [], path)

    def _add_call(self, item: CallItem, path: str) -> None:
        call = call_of(item, path, self.names, self.warnings)
        self._begin_answer(path)
        block = self.conversation.calls.add_call(
            call.key, call.name, call.arguments, id_=call.key, path=f"{path}.call_id"
        )
        self.conversation.add_assistant([block])

    def _add_result(self, key: str, blocks: list[Block], path: str) -> None:
        id_ = self.conversation.calls.take_result(key, f"{path}.call_id")
        self.conversation.add_tool_result(id_, blocks)

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
        self.warnings.append(RequestWarning("left_out", param, f"{FOREIGN_CONTENT}; Claude cannot use it."))
        return []

    def _add_summary(self, encrypted: str | None, path: str) -> None:
        if encrypted is None:
            detail = "The item has no summary; the messages before it still apply."
            self.warnings.append(RequestWarning("ignored", path, detail))
            return
        summary = self.cipher.decrypt_summary(encrypted) if self.cipher else None
        if summary is None:
            detail = f"{FOREIGN_CONTENT}. Send the messages themselves in `input`."
            raise InvalidRequest(detail, param=f"{path}.encrypted_content")
        self.conversation.add_user(text_blocks(SUMMARY_INTRODUCTION + summary), path)

    def _add_referenced(self, item: ItemReference, path: str) -> None:
        found = self.references.get(item.id)
        if found is None:
            detail = "This gateway stores no responses, so it cannot find the item. Send the item itself in `input`."
            raise UnsupportedFeature(detail, param=f"{path}.id")
        if not found.blocks:
            self._add(msgspec.convert(found.item, InputItem), path)
            return
        self._begin_answer(path)
        for block in found.blocks:
            self.add_stored_block(block, found.model, found.conversation_hash, f"{path}.id")
