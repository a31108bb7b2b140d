"""What the model thought, to be read, to be sent back, or only to be known of."""

from dragoman.messages import Block, JSONObject
from dragoman.wire.openai_responses.places import Events, Place, Status
from dragoman.wire.openai_responses.request import ResponsesRequest


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
