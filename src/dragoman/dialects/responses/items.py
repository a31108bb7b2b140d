"""Output items: each builds itself from content blocks and sends the events about it, in OpenAI's order."""

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.core.value_object import value_object
from dragoman.dialects.shared.response_parts import cited_pages

Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]
SendEvent: TypeAlias = Callable[[JSONObject], None]


@value_object
class ItemEvents:
    """Sends the events of one output item.

    Attributes:
        id: The item's id.
        index: The item's index in the output.
        send: Takes an event, without its `sequence_number`; None for a plain response, which has no events.
    """

    id: str
    index: int
    send: SendEvent | None

    def item(self, kind: Literal["added", "done"], item: JSONObject) -> None:
        """Send an event about the whole item."""
        if self.send is not None:
            self.send({"type": f"response.output_item.{kind}", "output_index": self.index, "item": item})

    def part(self, kind: str, **fields: JSON) -> None:
        """Send an event about a part of the item."""
        if self.send is not None:
            self.send({"type": f"response.{kind}", "item_id": self.id, "output_index": self.index, **fields})


class OutputItem(Protocol):
    """One output item.

    An item is closed only when the next one begins or the message ends: only then is it known whether it was cut.
    """

    def begin(self) -> None:
        """Send the events that announce the item."""
        ...

    def end_block(self, block: Block) -> None:
        """Take the complete content block."""
        ...

    def close(self, status: Status) -> JSONObject:
        """Send the last events, and return the item."""
        ...


class MessageItem:
    """A message. Its text is one part, however many text blocks Claude writes it in."""

    def __init__(self, events: ItemEvents) -> None:
        self._events = events
        self._content: list[JSON] = []
        self._pieces: list[str] = []
        self._length = 0
        self._annotations: list[JSON] = []
        self._block_start = 0

    def begin(self) -> None:
        """Announce the item."""
        self._events.item("added", self._item("in_progress"))

    def add_text(self, text: str) -> None:
        """Add a piece of text, which is not empty."""
        if not self._pieces:
            self._part_event("content_part.added", part=_text_part("", []))
        self._pieces.append(text)
        self._length += len(text)
        self._events.part("output_text.delta", content_index=len(self._content), delta=text, logprobs=[])

    def end_block(self, block: Block) -> None:
        """Annotate the text of the block with the pages that it cites."""
        start, self._block_start = self._block_start, self._length
        for url, title in cited_pages(block).items() if self._pieces else ():
            span: JSONObject = {"start_index": start, "end_index": self._length}
            annotation: JSONObject = {"type": "url_citation", **span, "url": url, "title": title}
            index = len(self._annotations)
            self._part_event("output_text.annotation.added", annotation_index=index, annotation=annotation)
            self._annotations.append(annotation)

    def refuse(self, explanation: str) -> None:
        """Add a refusal after the text."""
        self._end_text()
        self._part_event("content_part.added", part={"type": "refusal", "refusal": ""})
        self._part_event("refusal.delta", delta=explanation)
        self._part_event("refusal.done", refusal=explanation)
        self._end_part({"type": "refusal", "refusal": explanation})

    def close(self, status: Status) -> JSONObject:
        """Close the text and the item."""
        self._end_text()
        item = self._item(status)
        self._events.item("done", item)
        return item

    def _end_text(self) -> None:
        if self._pieces:
            text = "".join(self._pieces)
            self._part_event("output_text.done", text=text, logprobs=[])
            self._end_part(_text_part(text, self._annotations))
            self._pieces = []

    def _end_part(self, part: JSONObject) -> None:
        self._part_event("content_part.done", part=part)
        self._content.append(part)

    def _part_event(self, kind: str, **fields: JSON) -> None:
        self._events.part(kind, content_index=len(self._content), **fields)

    def _item(self, status: Status) -> JSONObject:
        return {
            "id": self._events.id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [*self._content],
        }


class ReasoningItem:
    """A thinking block. Claude's summary of it is shown only if the client asked for it."""

    def __init__(
        self, events: ItemEvents, block: Block, encrypt: Callable[[Block], str | None] | None, *, wants_summary: bool
    ) -> None:
        self._events = events
        self._block = block
        self._wants_summary = wants_summary
        self._encrypt = encrypt
        self._pieces: list[str] = []

    def begin(self) -> None:
        """Announce the item."""
        self._events.item("added", {"id": self._events.id, "type": "reasoning", "summary": []})

    def add_thinking(self, text: str) -> None:
        """Add a piece of thinking, which is not empty."""
        if not self._wants_summary:
            return
        if not self._pieces:
            self._summary_event("reasoning_summary_part.added", part=_summary_part(""))
        self._pieces.append(text)
        self._summary_event("reasoning_summary_text.delta", delta=text)

    def end_block(self, block: Block) -> None:
        """Take the complete block, with its signature."""
        self._block = block

    def close(self, status: Status) -> JSONObject:  # noqa: ARG002 - reasoning has no status
        """Close the summary and the item."""
        item: JSONObject = {"id": self._events.id, "type": "reasoning", "summary": []}
        if self._pieces:
            text = "".join(self._pieces)
            part = _summary_part(text)
            self._summary_event("reasoning_summary_text.done", text=text)
            self._summary_event("reasoning_summary_part.done", part=part)
            item["summary"] = [part]
        if self._encrypt and (encrypted := self._encrypt(self._block)):
            item["encrypted_content"] = encrypted
        self._events.item("done", item)
        return item

    def _summary_event(self, kind: str, **fields: JSON) -> None:
        self._events.part(kind, summary_index=0, **fields)


class SearchItem:
    """A web search. It is announced once its query is complete; without results it has failed."""

    def __init__(self, events: ItemEvents, block: Block, *, wants_sources: bool) -> None:
        self._events = events
        self._block = block
        self._wants_sources = wants_sources
        self._announced = False
        self._urls: list[JSON] = []
        self._status = "failed"

    def begin(self) -> None:
        """Do nothing: the query is not known yet."""

    def end_block(self, block: Block) -> None:
        """Take the complete query and announce the search."""
        self._block = block
        self._announce()

    def add_results(self, block: Block) -> None:
        """Take the search results."""
        self._announce()
        pages = block.get("content")
        if isinstance(pages, list):
            self._status = "completed"
            self._urls = [page.get("url") for page in pages if isinstance(page, dict)]
            self._events.part("web_search_call.completed")

    def close(self, status: Status) -> JSONObject:  # noqa: ARG002 - a search without results has failed
        """Close the item."""
        self._announce()
        item = self._item(self._status)
        self._events.item("done", item)
        return item

    def _announce(self) -> None:
        if not self._announced:
            self._announced = True
            self._events.item("added", self._item("in_progress"))
            self._events.part("web_search_call.in_progress")
            self._events.part("web_search_call.searching")

    def _item(self, status: str) -> JSONObject:
        arguments = self._block.get("input")
        query = arguments.get("query") if isinstance(arguments, dict) else None
        query = query if isinstance(query, str) else ""
        action: JSONObject = {"type": "search", "query": query, "queries": [query]}
        if self._wants_sources:
            action["sources"] = [{"type": "url", "url": url} for url in self._urls if isinstance(url, str)]
        return {"id": self._events.id, "type": "web_search_call", "status": status, "action": action}


def _text_part(text: str, annotations: list[JSON]) -> JSONObject:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def _summary_part(text: str) -> JSONObject:
    return {"type": "summary_text", "text": text}
