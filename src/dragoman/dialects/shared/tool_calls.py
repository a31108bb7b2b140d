"""Tool calls in a conversation: their ids, their arguments, and the results that are still missing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import Block, JSONObject, parse_arguments
from dragoman.core.warnings import RequestWarning

_EMPTY_ID_PREFIX = "without an id, number "
"""The start of the key of a call with an empty id, which some clients send. No id contains a space."""

_MAX_NAME_LENGTH = 128
_TOOL_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{_MAX_NAME_LENGTH}}}")
_VALID_ID = re.compile(r"[A-Za-z0-9_-]+")
_INVALID_ID_CHARACTER = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(slots=True)
class ToolCallIds:
    """The calls that wait for their results, and every id that was used.

    Attributes:
        pending: The API's id of each call that waits for its result, by the client's own id.
        path: The path of the message that made the pending calls.
        names: The tools that were called, in order.
    """

    warnings: list[RequestWarning]
    pending: dict[str, str] = field(default_factory=dict)
    path: str = ""
    names: dict[str, None] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)
    _repeated: dict[str, list[str]] = field(default_factory=dict)  # further calls with the id of a pending one

    def add_call(self, key: str, name: str, arguments: JSONObject, *, id_: str, path: str) -> Block:
        """Return the `tool_use` block of a call. It is pending until `take_result`.

        Some models give two calls of one message the same id. Their results come in the same order.

        Args:
            key: How the result refers to the call.
            name: The tool.
            arguments: Its arguments.
            id_: The id that it should have; the API's rules may change it.
            path: The path of the id in the request.
        """
        if not key:
            key = f"{_EMPTY_ID_PREFIX}{len(self.pending) + 1}"
        valid_id = self._valid_id(id_, path)
        if key in self.pending:
            self._repeated.setdefault(key, []).append(valid_id)
        else:
            self.pending[key] = valid_id
        name = self._valid_name(name, path)
        self.names[name] = None
        return {"type": "tool_use", "id": valid_id, "name": name, "input": arguments}

    def take_result(self, key: str, param: str) -> str:
        """Return the API's id of the call that a result answers. The call is no longer pending.

        Results without an id answer the calls without an id, in order.

        Raises:
            InvalidRequest: No call with this id is pending.
        """
        if not key:
            key = next((pending for pending in self.pending if pending.startswith(_EMPTY_ID_PREFIX)), key)
        if key not in self.pending:
            raise InvalidRequest(
                f"`{param}` is `{key}`, but no tool call with that id waits for a result here. A result must follow "
                "the message that made the call, and each call gets one result.",
                param=param,
            )
        id_ = self.pending.pop(key)
        if repeated := self._repeated.get(key):
            self.pending[key] = repeated.pop(0)
        return id_

    def add_plain_calls(self, calls: Sequence[tuple[str, str]], path: str) -> bool:
        """Add calls of a message, with valid ids and names. Return False, and add none, if an id was used before."""
        used = self._used
        for id_, _ in calls:
            if id_ in used:
                return False
        self.path = path
        for id_, name in calls:
            used.add(id_)
            self.pending[id_] = id_
            self.names[name] = None
        return True

    def take_plain_result(self, id_: str) -> bool:
        """Take the result of a call whose id was not changed. Return False, and take none, if there is no such call."""
        if self._repeated or self.pending.get(id_) != id_:
            return False
        del self.pending[id_]
        return True

    def copy(self, warnings: list[RequestWarning]) -> "ToolCallIds":
        """Return the same calls, to which others can be added. They must be plain ones, with valid ids and names.

        Args:
            warnings: Receives the warnings of others.
        """
        return ToolCallIds(warnings, self.pending.copy(), self.path, self.names.copy(), self._used.copy())

    def require_results(self, before: str) -> None:
        """Refuse the request if a call has no result yet.

        Args:
            before: What comes next, for the message.

        Raises:
            InvalidRequest: Names the calls.
        """
        if self.pending:
            missing = ", ".join(f"`{key}`" for key in self.pending)
            raise InvalidRequest(
                f"The tool calls of `{self.path}` need results before {before}; missing: {missing}.",
                code="missing_tool_result",
                param=self.path,
            )

    def _valid_id(self, id_: str, path: str) -> str:
        """Return an id that the API accepts: valid characters only, and unique in the conversation."""
        if id_ not in self._used and _VALID_ID.fullmatch(id_):
            self._used.add(id_)
            return id_
        plain = valid_id = _INVALID_ID_CHARACTER.sub("_", id_) or "call"
        number = 2
        while valid_id in self._used:
            valid_id = f"{plain}-{number}"
            number += 1
        self._used.add(valid_id)
        if valid_id != id_:
            detail = f"Sent as `{valid_id}`: the API requires unique ids of letters, digits, `_` and `-`."
            self.warnings.append(RequestWarning("renamed", path, detail))
        return valid_id

    def _valid_name(self, name: str, path: str) -> str:
        """Return a name that the API accepts. It refuses a conversation for the name of one call in it."""
        if name in self.names or _TOOL_NAME.fullmatch(name):
            return name
        valid_name = _INVALID_ID_CHARACTER.sub("_", name)[:_MAX_NAME_LENGTH] or "tool"
        detail = f"The call of `{name[:80]}` was sent as one of `{valid_name}`, as the API requires."
        self.warnings.append(RequestWarning("renamed", path.rpartition(".")[0], detail))
        return valid_name


def parse_arguments_object(text: str | None) -> JSONObject | None:
    """Parse a call's arguments, as clients send them back; None if they are not a JSON object."""
    if not text or text.isspace():
        return {}
    try:
        arguments = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        try:
            arguments = parse_arguments(text)  # accepts what Python and JavaScript accept, such as lone surrogates
        except RecursionError:
            return None
    if arguments is None:
        return {}
    return cast("JSONObject", arguments) if isinstance(arguments, dict) else None


def call_arguments(text: str | None, param: str, warnings: list[RequestWarning]) -> JSONObject:
    """Return a call's arguments as the API accepts them: always an object.

    OpenAI accepts any text, and clients send back what a model wrote even if it was cut.

    Args:
        text: The text.
        param: Its field.
        warnings: Receives a warning if it is not a JSON object.
    """
    arguments = parse_arguments_object(text)
    if arguments is not None:
        return arguments
    detail = "The arguments are not a JSON object, which Claude requires; it sees their text inside of one."
    warnings.append(RequestWarning("mapped", param, detail))
    return {"arguments": text}
