"""Build the system prompt and the messages of the Messages API from a dialect's messages, one by one.

The API's rules: the system prompt is separate, roles alternate, and the results of tool calls follow the calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from dragoman.core.catalog import Model
from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.known_message import KnownMessage
from dragoman.core.media import Placed
from dragoman.core.messages import Block, Message, Role
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.tool_calls import ToolCallIds

# Stored thinking is bound to these words: a change makes it invalid.
OPENING = "(The conversation begins with the assistant.)"
"""The user message before a conversation that begins with the assistant: the API requires the user first."""


def text_blocks(text: str | None) -> list[Block]:
    """Return one text block, or none for blank text: the API refuses blank blocks."""
    return [{"type": "text", "text": text}] if text and not text.isspace() else []


def tool_result(id_: str, content: list[Block], *, is_error: bool = False) -> Block:
    """Return the block of a tool call's result."""
    block: Block = {"type": "tool_result", "tool_use_id": id_}
    if content:
        block["content"] = list(content)
    if is_error:
        block["is_error"] = True
    return block


@dataclass(slots=True, eq=False)
class PlainTurn:
    """A message that was translated before. Many conversations may share it: it must not be changed.

    Attributes:
        translated: The translation. It has at least one block.
        calls: Id and name of each tool call in it.
        result_of: The id of the call that it is the result of.
    """

    translated: KnownMessage
    calls: tuple[tuple[str, str], ...] = ()
    result_of: str | None = None


@dataclass(slots=True, eq=False)
class BuiltRun:
    """What a builder had made of a run of plain messages. Many conversations may share it: it must not be changed.

    Attributes:
        messages: The messages.
        calls: The calls in them.
        has_user: Whether one of them has more than results.
    """

    messages: list[Message]
    calls: ToolCallIds
    has_user: bool


@dataclass(slots=True, eq=False)
class PlainRun:
    """Messages that were translated before, with nothing but instructions before them.

    Attributes:
        first: The index of the first one.
        end: The index behind the last one.
        built: What a builder has made of them; None before the first time.
    """

    first: int
    end: int
    built: BuiltRun | None = None


class ConversationBuilder:
    """Builds the system prompt and the messages of one request.

    Args:
        model: The model that will respond.
        warnings: Receives a warning for each change to the conversation.
        field: The request's field that holds the conversation.

    Attributes:
        system: The system prompt, as text blocks.
        messages: The messages. Consecutive messages of one role are joined.
        media: The images and documents in them.
        calls: The tool calls in them.
        field: As given.
    """

    def __init__(self, model: Model, warnings: list[RequestWarning], field: str = "messages") -> None:
        self.system: list[Block] = []
        self.messages: list[Message] = []
        self.media: list[Placed] = []
        self.calls = ToolCallIds(warnings)
        self.field = field
        self._model = model
        self._warnings = warnings
        self._has_user = False
        self._last_role: Role | None = None
        self._held: list[tuple[str, Block]] = []  # instructions whose place is not known yet, with their paths
        self._empty_path: str | None = None  # of the last message, if it is empty and not the assistant's

    def add_user(self, blocks: list[Block], path: str) -> None:
        """Add a user message.

        Raises:
            InvalidRequest: A tool call has no result.
        """
        if self.calls.pending:
            self.calls.require_results(f"`{path}`")
        if not blocks:
            self._warnings.append(RequestWarning("ignored", f"{path}.content", "This message is empty."))
            self._empty_path = path
            return
        if self._held:
            self._place_instructions()
        self._append("user", blocks)
        self._has_user = True

    def add_instructions(self, blocks: list[Block], path: str) -> None:
        """Add a system or developer message."""
        if not blocks:
            self._empty_path = path
        if self.messages:
            # Its place is known when the next message comes: it may not be between a call and its result.
            self._held += [(path, block) for block in blocks]
        else:
            self.system += blocks

    def begin_assistant(self, path: str) -> None:
        """Begin an assistant message; `add_assistant` adds its blocks.

        Raises:
            InvalidRequest: A tool call has no result.
        """
        if self.calls.pending:
            self.calls.require_results(f"`{path}`")

    def add_assistant(self, blocks: list[Block]) -> None:
        """Add blocks of an assistant message."""
        if blocks:
            if self._held:
                self._place_instructions()
            self._append("assistant", blocks)

    def add_tool_result(self, id_: str, content: list[Block], *, is_error: bool = False) -> None:
        """Add the result of a tool call."""
        self._append("user", [tool_result(id_, content, is_error=is_error)])

    def add_plain(self, turns: Sequence[object], start: int, runs: Sequence[PlainRun] = ()) -> int:
        """Add messages that were translated before, as far as they come one after the other.

        Args:
            turns: All messages of the conversation; those that were translated before are `PlainTurn`.
            start: The index of the first one to add.
            runs: Runs of them, the shortest first. One that was built before is not built again.

        Returns:
            The index of the first that was not added: it was not translated before, or its place changes it.
        """
        index = start
        if not (self.messages or self._held):
            for run in [run for run in runs if run.first == start]:
                if run.built is not None:
                    self._restore(run.built)
                    index = run.end
                elif (index := self._add_plain(turns, index, run.end)) == run.end:
                    run.built = self._built()
        return self._add_plain(turns, index, len(turns))

    def _add_plain(self, turns: Sequence[object], start: int, end: int) -> int:
        if self._held:
            return start
        messages, calls, last_role = self.messages, self.calls, self._last_role
        index = start
        for index in range(start, end):
            turn = turns[index]
            if not isinstance(turn, PlainTurn):
                break
            message: Any = turn.translated  # no cast: that is a call for each message
            role = message["role"]
            if turn.result_of is not None:
                if not calls.take_plain_result(turn.result_of):
                    break
            elif calls.pending or (turn.calls and not calls.add_plain_calls(turn.calls, f"{self.field}[{index}]")):
                break
            elif role == "user":
                self._has_user = True
            if role == last_role:
                self._own_last()["content"] += message["content"]
            else:
                last_role = role
                messages.append(message)
        else:
            index = end
        if index > start:
            self._last_role, self._empty_path = last_role, None
        return index

    def _built(self) -> BuiltRun:
        messages = [
            one if type(one) is KnownMessage else KnownMessage(one["role"], [*one["content"]]) for one in self.messages
        ]
        return BuiltRun(cast("list[Message]", messages), self.calls.copy([]), self._has_user)

    def _restore(self, built: BuiltRun) -> None:
        self.messages = built.messages.copy()
        self.calls = built.calls.copy(self._warnings)
        self._has_user, self._last_role, self._empty_path = built.has_user, built.messages[-1]["role"], None

    def finish(self, path: str) -> None:
        """Finish the conversation.

        Args:
            path: The path of the last message.

        Raises:
            InvalidRequest: The API does not accept how the conversation begins or ends, or the last message is empty.
        """
        if self.calls.pending:
            self.calls.require_results("the end")
        if self._held:
            self._place_instructions(last=True)
        if not self.messages:
            self._send_system_as_user()
        elif self.messages[0]["role"] != "user":
            self.messages.insert(0, {"role": "user", "content": [{"type": "text", "text": OPENING}]})
            detail = "The API requires a user message first; one was added."
            self._warnings.append(RequestWarning("mapped", self.field, detail))
        if self.messages[-1]["role"] == "assistant":
            self._require_own_prefill()
            self._check_prefill(self._own_last()["content"], path)

    def _append(self, role: Role, blocks: list[Block]) -> None:
        self._empty_path = None
        if role == self._last_role:
            self._own_last()["content"] += blocks
        else:
            self._last_role = role
            self.messages.append({"role": role, "content": blocks})

    def _own_last(self) -> Message:
        """Return the last message, as one that may be changed."""
        last = self.messages[-1]
        if isinstance(last, KnownMessage):
            last = self.messages[-1] = {"role": last["role"], "content": [*last["content"]]}
        return last

    def _place_instructions(self, *, last: bool = False) -> None:
        """Add held instructions after the message that was the last when they came, or to the system prompt."""
        held, self._held = self._held, []
        blocks = [block for _, block in held]
        if last and self.messages and self.messages[-1]["role"] == "assistant":
            # The model is to follow them, not to continue the assistant message.
            self._append("user", blocks)
            self._warn_moved(held, "Instructions after an assistant message are sent as a user message.")
        elif not self._has_user:
            self.system += blocks
        elif self._model.system_messages:
            self._append("system", blocks)
        else:
            self.system += blocks
            detail = f"{self._model.name} does not accept system messages inside the conversation; moved to the system "
            self._warn_moved(held, f"{detail}prompt.")

    def _warn_moved(self, held: list[tuple[str, Block]], detail: str) -> None:
        self._warnings += [RequestWarning("moved", path, detail) for path in dict.fromkeys(path for path, _ in held)]

    def _send_system_as_user(self) -> None:
        if not self.system:
            raise InvalidRequest(
                f"All messages in `{self.field}` are empty. Send a message with text.",
                code="empty_messages",
                param=self.field,
            )
        self.messages.append({"role": "user", "content": self.system})
        self.system = []
        detail = "There is no user message; the instructions are sent as one."
        self._warnings.append(RequestWarning("moved", self.field, detail))

    def _require_own_prefill(self) -> None:
        """Refuse an empty last message: without it, Claude would continue the assistant message before it."""
        if self._empty_path is not None:
            raise InvalidRequest(
                f"`{self._empty_path}` is empty, and it is the message that Claude must answer. Send a text in it.",
                code="empty_messages",
                param=self._empty_path if self._empty_path == self.field else f"{self._empty_path}.content",
            )

    def _check_prefill(self, content: list[Block], path: str) -> None:
        """Check the assistant message that the model is to continue. The API refuses trailing white space in it."""
        if not self._model.prefill:
            raise UnsupportedFeature(
                f"{self._model.name} cannot continue an assistant message; the last message must be the user's.",
                code="unsupported_prefill",
                param=path,
            )
        text = content[-1].get("text")
        if isinstance(text, str) and text != text.rstrip():
            content[-1] = {**content[-1], "text": text.rstrip()}
            detail = "White space at the end of the message was removed."
            self._warnings.append(RequestWarning("trimmed", f"{path}.content", detail))
