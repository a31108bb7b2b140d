"""Output items of calls: of functions, of custom tools, and of the other tools that the client runs."""

from dragoman.core.messages import Block, JSONObject, parse_arguments
from dragoman.dialects.responses.client_tools import ClientTool, ToolBinding
from dragoman.dialects.responses.custom_input import TextDecoder, custom_tool_text
from dragoman.dialects.responses.items import ItemEvents, Status
from dragoman.dialects.shared.response_parts import arguments_json


class FunctionCallItem:
    """A call of a function. Its arguments are sent as they come."""

    def __init__(self, events: ItemEvents, block: Block, binding: ToolBinding) -> None:
        self._events = events
        self._block = block
        self._binding = binding
        self._pieces: list[str] = []

    def begin(self) -> None:
        """Announce the item."""
        self._events.item("added", self._item("", "in_progress"))

    def add_arguments(self, text: str) -> None:
        """Add a piece of the arguments' JSON text."""
        if text:
            self._pieces.append(text)
            self._events.part("function_call_arguments.delta", delta=text)

    def end_block(self, block: Block) -> None:
        """Do nothing: a limit may have cut the block, which is known only when the message ends."""

    def close(self, status: Status) -> JSONObject:
        """Close the arguments and the item."""
        arguments = arguments_json(self._block, "".join(self._pieces))
        if not self._pieces:
            self._events.part("function_call_arguments.delta", delta=arguments)
        self._events.part("function_call_arguments.done", name=self._binding.name, arguments=arguments)
        item = self._item(arguments, status)
        self._events.item("done", item)
        return item

    def _item(self, arguments: str, status: Status) -> JSONObject:
        return {
            "id": self._events.id,
            "type": "function_call",
            "status": status,
            "call_id": self._block.get("id"),
            **_name_fields(self._binding),
            "arguments": arguments,
        }


class CustomCallItem:
    """A call of a custom tool. Its text is decoded from the JSON of the arguments and sent as it comes."""

    def __init__(self, events: ItemEvents, block: Block, binding: ToolBinding) -> None:
        self._events = events
        self._block = block
        self._binding = binding
        self._decoder = TextDecoder()
        self._written: list[str] = []
        self._text: list[str] = []

    def begin(self) -> None:
        """Announce the item."""
        self._events.item("added", self._item("", "in_progress"))

    def add_arguments(self, text: str) -> None:
        """Add a piece of the arguments' JSON text."""
        self._written.append(text)
        self._send_text(self._decoder.add(text))

    def end_block(self, block: Block) -> None:
        """Do nothing: a limit may have cut the block, which is known only when the message ends."""

    def close(self, status: Status) -> JSONObject:
        """Close the text and the item."""
        if not self._decoder.found:
            written = "".join(self._written)
            self._send_text(custom_tool_text({"input": parse_arguments(written)} if written else self._block))
        text = "".join(self._text)
        self._events.part("custom_tool_call_input.done", input=text)
        item = self._item(text, status)
        self._events.item("done", item)
        return item

    def _send_text(self, text: str) -> None:
        if text:
            self._text.append(text)
            self._events.part("custom_tool_call_input.delta", delta=text)

    def _item(self, text: str, status: Status) -> JSONObject:
        return {
            "id": self._events.id,
            "type": "custom_tool_call",
            "status": status,
            "call_id": self._block.get("id"),
            **_name_fields(self._binding),
            "input": text,
        }


class ClientToolCallItem:
    """A call of a tool with an item type of its own. It is announced once it is complete."""

    def __init__(self, events: ItemEvents, block: Block, tool: ClientTool) -> None:
        self._events = events
        self._block = block
        self._tool = tool
        self._pieces: list[str] = []

    def begin(self) -> None:
        """Do nothing: the call is not known yet."""

    def add_arguments(self, text: str) -> None:
        """Add a piece of the arguments' JSON text."""
        self._pieces.append(text)

    def end_block(self, block: Block) -> None:
        """Do nothing: a limit may have cut the block, which is known only when the message ends."""

    def close(self, status: Status) -> JSONObject:
        """Announce the item and close it."""
        written = "".join(self._pieces)
        value = parse_arguments(written) if written else self._block.get("input")
        arguments = value if isinstance(value, dict) else {}
        item = self._item(arguments, status)
        self._events.item("added", self._item(arguments, "in_progress"))
        self._events.item("done", item)
        return item

    def _item(self, arguments: JSONObject, status: Status) -> JSONObject:
        return {
            "id": self._events.id,
            "type": self._tool.item_type,
            "status": status,
            "call_id": self._block.get("id"),
            **self._tool.fields(arguments),
        }


def _name_fields(binding: ToolBinding) -> JSONObject:
    name: JSONObject = {"name": binding.name}
    return {**name, "namespace": binding.namespace} if binding.namespace else name
