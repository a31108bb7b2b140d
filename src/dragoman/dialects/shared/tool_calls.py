"""Tool calls of the conversation so far: ids, arguments, and which results are still owed."""

import re
from dataclasses import dataclass, field
from typing import cast

import msgspec

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import Block, JSONObject, parse_arguments
from dragoman.core.warnings import RequestWarning

_NAMELESS = "without an id, number "
"""How calls are known whose id is empty, as some clients write it. No id has a space."""

_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(slots=True)
class ToolCallIds:
    """The calls that wait for their results, and every id that was ever used.

    Attributes:
        open: The API's id of each call that still waits, by the client's own id.
        path: Where the calls that wait were made.
        names: The tools that were called, in order.
    """

    warnings: list[RequestWarning]
    open: dict[str, str] = field(default_factory=dict)
    path: str = ""
    names: dict[str, None] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    def made(self, key: str, name: str, input_: JSONObject, *, id_: str, path: str) -> Block:
        """The `tool_use` block of a call, which from now on waits for its result.

        Args:
            key: By what the result will name it.
            name: The tool.
            input_: Its arguments.
            id_: The id it should have; the API's rules may change it.
            path: Where it stands in the request.

        Raises:
            InvalidRequest: A call with that key waits already.
        """
        if not key:
            key = f"{_NAMELESS}{len(self.open) + 1}"
        if key in self.open:
            raise InvalidRequest(f"The id `{key}` stands for two calls.", param=path)
        self.open[key] = plain = self._id(id_, path)
        self.names[name] = None
        return {"type": "tool_use", "id": plain, "name": name, "input": input_}

    def answered(self, key: str, param: str) -> str:
        """Settle a call and give the API's id of it. Results without an id belong to the calls without one, in order.

        Raises:
            InvalidRequest: No call with this id waits.
        """
        if not key:
            key = next((one for one in self.open if one.startswith(_NAMELESS)), key)
        if key not in self.open:
            raise InvalidRequest(
                f"`{param}` is `{key}`, but no tool call with that id waits for a result here. A result must follow "
                "the message that made the call, and answer it once.",
                param=param,
            )
        return self.open.pop(key)

    def require_answers(self, before: str) -> None:
        """Refuse to go on while results are owed.

        Raises:
            InvalidRequest: Some are; the message names them.
        """
        if self.open:
            owed = ", ".join(f"`{key}`" for key in self.open)
            raise InvalidRequest(
                f"The tool calls of `{self.path}` need results before {before}; missing: {owed}.",
                code="missing_tool_result",
                param=self.path,
            )

    def _id(self, wanted: str, path: str) -> str:
        """An id that the API takes: of its characters, and never used before in this conversation."""
        plain = id_ = _FOREIGN.sub("_", wanted) or "call"
        number = 2
        while id_ in self._used:
            id_ = f"{plain}-{number}"
            number += 1
        self._used.add(id_)
        if id_ != wanted:
            self.warnings.append(
                RequestWarning("renamed", path, f"Sent as `{id_}`: the API wants ids unique and plain.")
            )
        return id_


def arguments_in(written: str | None) -> JSONObject | None:
    """A call's arguments, as clients send them back; none where they are no JSON object."""
    if not written or written.isspace():
        return {}
    try:
        found = msgspec.json.decode(written)
    except (msgspec.DecodeError, RecursionError):
        found = parse_arguments(written)  # takes what Python and JavaScript take, half a character for one
    if found is None:
        return {}
    return cast("JSONObject", found) if isinstance(found, dict) else None


def arguments_of(written: str | None, param: str, warnings: list[RequestWarning]) -> JSONObject:
    """A call's arguments as the API takes them: an object in any case.

    OpenAI takes any text, and clients send back what a model wrote also where it was cut.

    Args:
        written: The text.
        param: Where it stands.
        warnings: Where to say that it is not what Claude takes.
    """
    found = arguments_in(written)
    if found is not None:
        return found
    detail = "These arguments are no JSON object, which is all that Claude takes; it was shown their text in one."
    warnings.append(RequestWarning("mapped", param, detail))
    return {"arguments": written}
