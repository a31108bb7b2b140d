"""A search of the web that Claude made."""

from dragoman.messages import JSON, Block, JSONObject
from dragoman.wire.calls import arguments_in
from dragoman.wire.openai_responses.places import Events, Place, Status


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
