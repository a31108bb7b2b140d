"""What the model says, as output items and the events that tell of them, in OpenAI's order.

One state machine makes plain and streamed answers: the plain one throws the events away. Events are made without their
`sequence_number`, which belongs to the stream.
"""

from typing import Literal, cast

from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.dialects.responses.items import CallItem, Events, MessageItem, Place, ReasoningItem, SearchItem, Status
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.dialects.shared.tools import WEB_SEARCH

Item = MessageItem | CallItem | ReasoningItem | SearchItem


class Output:
    """The output of one response, as it grows.

    An item is closed only when the next one begins or the answer ends: whether it was cut is not known before.

    Args:
        request: What was asked for.
        digits: What the ids of items are made from.

    Attributes:
        items: The items that are closed.
    """

    def __init__(self, request: ResponsesRequest, digits: str) -> None:
        self._request = request
        self._digits = digits
        self.items: list[JSON] = []
        self._open: Item | None = None
        self._block: Literal["text", "item", "none"] = "none"

    def start(self, block: Block) -> Events:
        """A content block begins."""
        kind = block.get("type")
        self._block = "item"
        if kind == "text":
            self._block = "text"
            if not isinstance(self._open, MessageItem):
                yield from self.close()
            yield from self._say(str(block.get("text") or ""))
        elif kind == "web_search_tool_result" and isinstance(self._open, SearchItem):
            yield from self._open.found(block)
        elif kind in ("thinking", "redacted_thinking"):
            yield from self._begin(ReasoningItem(self._next("rs"), block, self._request))
        elif kind == "tool_use":
            custom = block.get("name") in self._request.custom
            yield from self._begin(CallItem(self._next("ctc" if custom else "fc"), block, custom=custom))
        elif kind == "server_tool_use" and block.get("name") == WEB_SEARCH:
            yield from self._begin(SearchItem(self._next("ws"), block, sources=self._request.sources))
        else:
            self._block = "none"  # of a kind that has no place in a response

    def delta(self, delta: JSONObject) -> Events:
        """The block goes on."""
        kind, item = delta["type"], self._open
        if self._block == "text" and kind == "text_delta":
            yield from self._say(cast("str", delta["text"]))
        elif self._block == "none":
            return
        elif kind == "input_json_delta" and isinstance(item, CallItem | SearchItem):
            yield from item.argue(cast("str", delta["partial_json"]))
        elif kind == "thinking_delta" and isinstance(item, ReasoningItem):
            yield from item.think(cast("str", delta["thinking"]))
        elif kind == "signature_delta" and isinstance(item, ReasoningItem):
            item.sign(cast("str", delta["signature"]))
        elif kind == "citations_delta" and isinstance(item, MessageItem):
            item.cite(delta["citation"])

    def stop(self) -> Events:
        """The block is whole."""
        item = self._open
        if self._block != "none" and isinstance(item, MessageItem | SearchItem):
            yield from item.settle()

    def refuse(self, why: str) -> Events:
        """Claude declines to go on."""
        if not isinstance(self._open, MessageItem):
            yield from self._begin(MessageItem(self._next("msg")))
        yield from cast("MessageItem", self._open).refuse(why)

    def close(self, status: Status = "completed") -> Events:
        """End the item that is open, if one is."""
        item, self._open = self._open, None
        if item is not None:
            yield from item.end(status)
            self.items.append(item.made(status))

    def _say(self, text: str) -> Events:
        """Nothing is told of a message before it has a text."""
        if not text:
            return
        if not isinstance(self._open, MessageItem):
            yield from self._begin(MessageItem(self._next("msg")))
        yield from cast("MessageItem", self._open).say(text)

    def _begin(self, item: Item) -> Events:
        yield from self.close()
        self._open = item
        yield from item.begin()

    def _next(self, prefix: str) -> Place:
        index = len(self.items) + (self._open is not None)
        return Place(f"{prefix}_{self._digits}{index:04x}", index)
