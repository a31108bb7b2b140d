"""Tool calls of the conversation so far: ids, arguments, and which results are still owed."""

import re
from dataclasses import dataclass, field
from typing import cast

import msgspec

from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.messages import Block, JSONObject
from dragoman.notices import Notice
from dragoman.wire.openai_chat.message_schema import AssistantMessage, FunctionCall, ToolCall

_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(slots=True)
class Calls:
    """The calls that wait for their results, and every id that was ever used.

    Attributes:
        open: The API's id of each call that still waits, by the client's own id.
        index: The index of the message that made them.
    """

    notices: list[Notice]
    open: dict[str, str] = field(default_factory=dict)
    index: int = 0
    names: dict[str, None] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    def made(self, message: AssistantMessage, index: int) -> list[Block]:
        """The `tool_use` blocks of an assistant's message.

        Raises:
            InvalidRequest: Arguments are no JSON object, or an id stands twice in the message.
        """
        self.index = index
        blocks = [
            self._call(call, f"messages[{index}].tool_calls[{place}]")
            for place, call in enumerate(message.tool_calls or ())
        ]
        if message.function_call and not blocks:
            blocks.append(self._legacy(message.function_call, f"messages[{index}].function_call"))
        return blocks

    def answered(self, id_: str, param: str) -> str:
        """Settle a call and give the API's id of it.

        Raises:
            InvalidRequest: No call with this id waits.
        """
        if id_ not in self.open:
            raise InvalidRequest(
                f"`{param}` is `{id_}`, but no tool call with that id waits for a result here. A tool message must "
                "follow the assistant message that made the call, and answer it once.",
                param=param,
            )
        return self.open.pop(id_)

    def answered_by_name(self, name: str, param: str) -> str:
        """The same for a message of role `function`, which knows only the function's name."""
        return self.answered(_legacy_key(name), param)

    def require_answers(self, before: str) -> None:
        """Refuse to go on while results are owed.

        Raises:
            InvalidRequest: Some are; the message names them.
        """
        if self.open:
            owed = ", ".join(f"`{id_.removeprefix(_LEGACY)}`" for id_ in self.open)
            raise InvalidRequest(
                f"The tool calls of `messages[{self.index}]` need results before {before}; missing: {owed}.",
                code="missing_tool_result",
                param=f"messages[{self.index}]",
            )

    def _call(self, call: ToolCall, path: str) -> Block:
        if call.function is None:
            if call.type == "function":
                raise InvalidRequest(
                    f"Missing required parameter: `{path}.function`.",
                    code="missing_required_parameter",
                    param=f"{path}.function",
                )
            raise UnsupportedFeature("Only calls of functions are supported.", param=f"{path}.type")
        if call.id in self.open:
            raise InvalidRequest(f"The id `{call.id}` stands for two calls.", param=f"{path}.id")
        return self._use(call.id, call.id, call.function, path)

    def _legacy(self, call: FunctionCall, path: str) -> Block:
        return self._use(_legacy_key(call.name), f"call_{self.index}", call, path)

    def _use(self, key: str, wanted: str, call: FunctionCall, path: str) -> Block:
        self.open[key] = id_ = self._id(wanted, path)
        self.names[call.name] = None
        return {"type": "tool_use", "id": id_, "name": call.name, "input": _input(call, path)}

    def _id(self, wanted: str, path: str) -> str:
        """An id that the API takes: of its characters, and never used before in this conversation."""
        plain = id_ = _FOREIGN.sub("_", wanted) or "call"
        number = 2
        while id_ in self._used:
            id_ = f"{plain}_{number}"
            number += 1
        self._used.add(id_)
        if id_ != wanted:
            self.notices.append(
                Notice("renamed", f"{path}.id", f"Sent as `{id_}`: the API wants ids unique and plain.")
            )
        return id_


_LEGACY = "function:"


def _legacy_key(name: str) -> str:
    return _LEGACY + name


def _input(call: FunctionCall, path: str) -> JSONObject:
    where = f"{path}.arguments" if path.endswith("function_call") else f"{path}.function.arguments"
    if not call.arguments or call.arguments.isspace():
        return {}
    try:
        found = msgspec.json.decode(call.arguments)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest(f"`{where}` is not valid JSON.", code="invalid_json", param=where) from None
    if not isinstance(found, dict):
        raise InvalidRequest(f"`{where}` must be a JSON object.", code="invalid_type", param=where)
    return cast("JSONObject", found)
