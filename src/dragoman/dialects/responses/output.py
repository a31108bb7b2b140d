"""The output of a response: content blocks become output items, one after the other.

Plain and streamed responses use the same code. A plain response sends no events.
"""

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.conversation import THINKING_TYPES
from dragoman.core.messages import JSON, Block
from dragoman.core.value_object import value_object
from dragoman.dialects.responses.call_items import ClientToolCallItem, CustomCallItem, FunctionCallItem
from dragoman.dialects.responses.client_tools import ToolBinding
from dragoman.dialects.responses.compaction import CompactionOutput
from dragoman.dialects.responses.items import (
    ItemEvents,
    MessageItem,
    OutputItem,
    ReasoningItem,
    SearchItem,
    SendEvent,
    Status,
)
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.dialects.shared.response_parts import refusal_text
from dragoman.dialects.shared.tools import WEB_SEARCH

CallItem = FunctionCallItem | CustomCallItem | ClientToolCallItem

_INCOMPLETE_REASONS = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "refusal": "content_filter",
}
"""Why a response is incomplete, by the API's `stop_reason`."""


@value_object
class Ending:
    """How a response ended.

    Attributes:
        incomplete_reason: Why it is incomplete; None if it is complete.
    """

    incomplete_reason: str | None = None

    @classmethod
    def of(cls, stop_reason: object) -> "Ending":
        """Return the ending for a `stop_reason` of the API."""
        return cls(_INCOMPLETE_REASONS.get(str(stop_reason)))

    @property
    def status(self) -> Status:
        """The status of the response."""
        return "incomplete" if self.incomplete_reason else "completed"

    @property
    def last_item_status(self) -> Status:
        """The status of the last item. A refused response is incomplete, but its last item is complete."""
        return "incomplete" if self.incomplete_reason == "max_output_tokens" else "completed"


class Output:
    """The output of one response, as it grows.

    Args:
        request: The request.
        id_digits: The digits that the ids of items are made from.
        send: Takes each event, without its `sequence_number`; None for a plain response.

    Attributes:
        items: The closed items.
    """

    def __init__(self, request: ResponsesRequest, id_digits: str, send: SendEvent | None = None) -> None:
        self._request = request
        self._id_digits = id_digits
        self._send = send
        self.items: list[JSON] = []
        self._open: OutputItem | None = None
        self._block_type: JSON = None  # of the open block; None if its content is skipped

    def add_block(self, block: Block, arguments: str | None) -> None:
        """Add a complete content block.

        Args:
            block: The block.
            arguments: For a tool call, its arguments as the model wrote them (JSON text).
        """
        self.start_block(block)
        if text := block.get("text"):
            self.add_text(str(text))
        if thinking := block.get("thinking"):
            self.add_thinking(str(thinking))
        if arguments:
            self.add_arguments(arguments)
        self.end_block(block)

    def start_block(self, block: Block) -> None:
        """Begin a content block. Blocks of an unknown type are skipped."""
        block_type = self._block_type = block.get("type")
        if block_type == "text":
            # The message begins with its first piece of text: Claude also writes empty text blocks.
            if not isinstance(self._open, MessageItem):
                self._close_item()
        elif block_type in THINKING_TYPES:
            encrypt, wants_summary = self._request.encrypt_thinking, self._request.wants_summary
            self._begin(ReasoningItem(self._events("rs"), block, encrypt, wants_summary=wants_summary))
        elif block_type == "tool_use":
            self._begin(self._call_item(block))
        elif block_type == "server_tool_use" and block.get("name") == WEB_SEARCH:
            self._begin(SearchItem(self._events("ws"), block, wants_sources=self._request.wants_sources))
        elif block_type == "web_search_tool_result" and isinstance(self._open, SearchItem):
            self._open.add_results(block)
            self._block_type = None
        else:
            self._block_type = None

    def add_text(self, text: str) -> None:
        """Add a piece of the text of the open block."""
        if text and self._block_type == "text":
            item = self._open
            (item if isinstance(item, MessageItem) else self._begin_message()).add_text(text)

    def add_thinking(self, text: str) -> None:
        """Add a piece of the thinking of the open block."""
        if text and self._block_type == "thinking" and isinstance(self._open, ReasoningItem):
            self._open.add_thinking(text)

    def add_arguments(self, text: str) -> None:
        """Add a piece of the arguments (JSON text) of the open block."""
        if self._block_type == "tool_use" and isinstance(self._open, CallItem):
            self._open.add_arguments(text)

    def end_block(self, block: Block) -> None:
        """End the open block.

        Args:
            block: The complete block.
        """
        if self._block_type is not None and self._open is not None:
            self._open.end_block(block)

    def break_off(self) -> None:
        """Close the open item as incomplete: the message has no end."""
        self._close_item("incomplete")

    def end(self, message: AccumulatedMessage) -> None:
        """Add Claude's refusal, if there is one, and close the last item."""
        if explanation := refusal_text(message.message):
            item = self._open
            (item if isinstance(item, MessageItem) else self._begin_message()).refuse(explanation)
        self._close_item(Ending.of(message.message.get("stop_reason")).last_item_status)

    def _close_item(self, status: Status = "completed") -> None:
        """Close the open item, if there is one."""
        item, self._open = self._open, None
        if item is not None:
            self.items.append(item.close(status))

    def _begin_message(self) -> MessageItem:
        item = MessageItem(self._events("msg"))
        self._begin(item)
        return item

    def _begin(self, item: OutputItem) -> None:
        self._close_item()
        self._open = item
        item.begin()

    def _call_item(self, block: Block) -> CallItem:
        name = str(block.get("name"))
        binding = self._request.bindings.get(name) or ToolBinding(name)
        if tool := binding.client_tool:
            return ClientToolCallItem(self._events(tool.id_prefix), block, tool)
        if binding.custom:
            return CustomCallItem(self._events("ctc"), block, binding)
        return FunctionCallItem(self._events("fc"), block, binding)

    def _events(self, id_prefix: str) -> ItemEvents:
        index = len(self.items) + (self._open is not None)
        return ItemEvents(f"{id_prefix}_{self._id_digits}{index:04x}", index, self._send)


def output_of(request: ResponsesRequest, id_digits: str, send: SendEvent | None = None) -> Output | CompactionOutput:
    """Return the empty output of a response. See `Output`."""
    if request.encrypt_summary:
        return CompactionOutput(request.encrypt_summary, id_digits, send)
    return Output(request, id_digits, send)
