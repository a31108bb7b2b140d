"""Where an output item stands, and the events that tell of it.

A call of a tool that the client runs: of a function, or of a custom tool that takes free text.

What the assistant says: text with the pages it cites, and a refusal if it declines.

What the model thought, to be read, to be sent back, or only to be known of.

A search of the web that Claude made.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from dragoman.core.messages import JSON, Block, JSONObject, parse_arguments
from dragoman.dialects.responses import tools
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.dialects.shared.answers import arguments_text, cited_pages
from dragoman.dialects.shared.tool_calls import arguments_in

Events: TypeAlias = Iterator[JSONObject]
Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]


@dataclass(frozen=True, slots=True)
class Place:
    """An item's place.

    Attributes:
        id: The item's id.
        index: Its place in the output.
    """

    id: str
    index: int

    def event(self, kind: str, **fields: JSON) -> JSONObject:
        """An event about a part of the item."""
        return {"type": f"response.{kind}", "item_id": self.id, "output_index": self.index, **fields}

    def item_event(self, kind: Literal["added", "done"], item: JSONObject) -> JSONObject:
        """An event about the whole item."""
        return {"type": f"response.output_item.{kind}", "output_index": self.index, "item": item}


class CallItem:
    """One call. A function's arguments are told as they come; a custom tool's text once it can be read whole."""

    def __init__(self, place: Place, block: Block, *, custom: bool) -> None:
        self._place = place
        self._block = block
        self._custom = custom
        self._pieces: list[str] = []

    def begin(self) -> Events:
        """Tell of it."""
        yield self._place.item_event("added", self._item("", "in_progress"))

    def argue(self, piece: str) -> Events:
        """Add a piece of its arguments, as JSON."""
        if piece:
            self._pieces.append(piece)
            if not self._custom:
                yield self._place.event("function_call_arguments.delta", delta=piece)

    def end(self, status: Status) -> Events:
        """Tell what it says, and that it is whole."""
        given = self._given()
        if self._custom:
            if given:
                yield self._place.event("custom_tool_call_input.delta", delta=given)
            yield self._place.event("custom_tool_call_input.done", input=given)
        else:
            if not self._pieces:
                yield self._place.event("function_call_arguments.delta", delta=given)
            name = self._block.get("name")
            yield self._place.event("function_call_arguments.done", name=name, arguments=given)
        yield self._place.item_event("done", self._item(given, status))

    def made(self, status: Status) -> JSONObject:
        """The item."""
        return self._item(self._given(), status)

    def _given(self) -> str:
        written = "".join(self._pieces)
        if not self._custom:
            return arguments_text(self._block, written)
        return tools.text_of({"input": parse_arguments(written)} if written else self._block)

    def _item(self, given: str, status: Status) -> JSONObject:
        kind, field = ("custom_tool_call", "input") if self._custom else ("function_call", "arguments")
        return {
            "id": self._place.id,
            "type": kind,
            "status": status,
            "call_id": self._block.get("id"),
            "name": self._block.get("name"),
            field: given,
        }


class MessageItem:
    """One message. All its text is one part, however many blocks Claude wrote it in."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._content: list[JSON] = []
        self._pieces: list[str] = []
        self._annotations: list[JSON] = []
        self._citations: list[JSON] = []
        self._length = 0
        self._block_began = 0

    def begin(self) -> Events:
        """Tell of it."""
        yield self._place.item_event("added", self.made("in_progress"))

    def say(self, text: str) -> Events:
        """Add a piece of text."""
        if not self._pieces:
            yield self._part_event("content_part.added", part=self._text_part(""))
        self._pieces.append(text)
        self._length += len(text)
        yield self._part_event("output_text.delta", delta=text, logprobs=[])

    def cite(self, citation: JSON) -> None:
        """Remember what the block cites."""
        self._citations.append(citation)

    def settle(self) -> Events:
        """Tell what the block cites: where it stands in the text is known now."""
        began, self._block_began = self._block_began, self._length
        cited, self._citations = self._citations, []
        for url, title in cited_pages({"citations": cited}).items() if self._pieces else ():
            span: JSONObject = {"start_index": began, "end_index": self._length}
            annotation: JSONObject = {"type": "url_citation", **span, "url": url, "title": title}
            index = len(self._annotations)
            yield self._part_event("output_text.annotation.added", annotation_index=index, annotation=annotation)
            self._annotations.append(annotation)

    def refuse(self, why: str) -> Events:
        """Add a refusal, after what was said."""
        yield from self._end_text()
        yield self._part_event("content_part.added", part={"type": "refusal", "refusal": ""})
        yield self._part_event("refusal.delta", delta=why)
        yield self._part_event("refusal.done", refusal=why)
        yield from self._end_part({"type": "refusal", "refusal": why})

    def end(self, status: Status) -> Events:
        """Tell that it is whole."""
        yield from self._end_text()
        yield self._place.item_event("done", self.made(status))

    def made(self, status: Status) -> JSONObject:
        """The item."""
        return {
            "id": self._place.id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [*self._content],
        }

    def _end_text(self) -> Events:
        if self._pieces:
            text = "".join(self._pieces)
            part = self._text_part(text, self._annotations)
            yield self._part_event("output_text.done", text=text, logprobs=[])
            yield from self._end_part(part)
            self._pieces = []

    def _end_part(self, part: JSONObject) -> Events:
        yield self._part_event("content_part.done", part=part)
        self._content.append(part)

    def _part_event(self, kind: str, **fields: JSON) -> JSONObject:
        return self._place.event(kind, content_index=len(self._content), **fields)

    def _text_part(self, text: str, annotations: list[JSON] | None = None) -> JSONObject:
        return {"type": "output_text", "text": text, "annotations": annotations or [], "logprobs": []}


class ReasoningItem:
    """One thinking block. Claude's summary of it is shown only where the client asked for one, as at OpenAI."""

    def __init__(self, place: Place, block: Block, request: ResponsesRequest) -> None:
        self._place = place
        self._block = dict(block)
        self._request = request
        self._pieces: list[str] = []
        self._sealed: str | None = None

    def begin(self) -> Events:
        """Tell of it."""
        yield self._place.item_event("added", {"id": self._place.id, "type": "reasoning", "summary": []})
        yield from self.think(str(self._block.get("thinking") or ""))

    def think(self, piece: str) -> Events:
        """Add a piece of thinking."""
        if not piece:
            return
        if not self._pieces and self._request.summary:
            yield self._event("reasoning_summary_part.added", part={"type": "summary_text", "text": ""})
        self._pieces.append(piece)
        if self._request.summary:
            yield self._event("reasoning_summary_text.delta", delta=piece)

    def sign(self, piece: str) -> None:
        """Add a piece of Claude's signature."""
        self._block["signature"] = f"{self._block.get('signature') or ''}{piece}"

    def end(self, status: Status) -> Events:
        """Tell that it is whole."""
        if self._request.summary and self._pieces:
            text = "".join(self._pieces)
            yield self._event("reasoning_summary_text.done", text=text)
            yield self._event("reasoning_summary_part.done", part={"type": "summary_text", "text": text})
        yield self._place.item_event("done", self.made(status))

    def made(self, status: Status) -> JSONObject:  # noqa: ARG002 - thinking has none
        """The item."""
        text = "".join(self._pieces)
        shown = self._request.summary and text
        item: JSONObject = {
            "id": self._place.id,
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": text}] if shown else [],
        }
        if sealed := self._closed(text):
            item["encrypted_content"] = sealed
        return item

    def _closed(self, text: str) -> str | None:
        """The block, sealed once: no two seals of it are the same."""
        if self._sealed is None and self._request.seal:
            self._sealed = self._request.seal(self._whole(text))
        return self._sealed

    def _whole(self, text: str) -> Block:
        return {**self._block, "thinking": text} if self._block.get("type") == "thinking" else self._block

    def _event(self, kind: str, **fields: str | JSONObject) -> JSONObject:
        return self._place.event(kind, summary_index=0, **fields)


class SearchItem:
    """One search. It is told of once its query is known, and is done when it has found something or failed."""

    def __init__(self, place: Place, block: Block, *, sources: bool) -> None:
        self._place = place
        self._block = block
        self._wants_sources = sources
        self._pieces: list[str] = []
        self._told = False
        self._urls: list[JSON] = []
        self._status = "failed"

    def begin(self) -> Events:
        """Nothing yet."""
        return iter(())

    def argue(self, piece: str) -> Events:
        """Add a piece of the query, as JSON."""
        self._pieces.append(piece)
        return iter(())

    def settle(self) -> Events:
        """Tell of it."""
        if not self._told:
            self._told = True
            yield self._place.item_event("added", self._item("in_progress"))
            yield self._place.event("web_search_call.in_progress")
            yield self._place.event("web_search_call.searching")

    def found(self, result: Block) -> Events:
        """Tell what came of it."""
        yield from self.settle()
        pages = result.get("content")
        if isinstance(pages, list):
            self._status = "completed"
            self._urls = [page.get("url") for page in pages if isinstance(page, dict)]
            yield self._place.event("web_search_call.completed")

    def end(self, status: Status) -> Events:
        """Tell that it is over."""
        yield from self.settle()
        yield self._place.item_event("done", self.made(status))

    def made(self, status: Status) -> JSONObject:  # noqa: ARG002 - a search that found nothing has failed
        """The item."""
        return self._item(self._status)

    def _item(self, status: str) -> JSONObject:
        query = self._query()
        action: JSONObject = {"type": "search", "query": query, "queries": [query]}
        if self._wants_sources:
            action["sources"] = [{"type": "url", "url": url} for url in self._urls if isinstance(url, str)]
        return {"id": self._place.id, "type": "web_search_call", "status": status, "action": action}

    def _query(self) -> str:
        written = "".join(self._pieces)
        given = arguments_in(written) if written else self._block.get("input")
        query = given.get("query") if isinstance(given, dict) else None
        return query if isinstance(query, str) else ""
