"""A call of a tool that the client runs: of a function, or of a custom tool that takes free text."""

from dragoman.arguments import parsed
from dragoman.messages import Block, JSONObject
from dragoman.wire.answers import arguments_text
from dragoman.wire.openai_responses import custom as customs
from dragoman.wire.openai_responses.places import Events, Place, Status


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
        return customs.text_of({"input": parsed(written)} if written else self._block)

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
