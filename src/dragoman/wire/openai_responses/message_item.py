"""What the assistant says: text with the pages it cites, and a refusal if it declines."""

from dragoman.messages import JSON, JSONObject
from dragoman.wire.answers import cited_pages
from dragoman.wire.openai_responses.places import Events, Place, Status


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
