"""The messages of a chat as turns of the Messages API: system prompt apart, roles in turn, results behind calls."""

from typing import assert_never

from dragoman.catalog import Model
from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.media import Placed
from dragoman.messages import Block, Message, Role
from dragoman.notices import Notice
from dragoman.wire.openai_chat.calls import Calls
from dragoman.wire.openai_chat.content import assistant_blocks, system_blocks, user_blocks
from dragoman.wire.openai_chat.message_schema import (
    AssistantMessage,
    ChatMessage,
    DeveloperMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from dragoman.wire.openai_chat.reasoning import thinking_blocks

OPENING = "(The conversation begins with the assistant.)"
"""Stands for the user where a chat begins with the assistant: the API wants the user first."""


class Turns:
    """Builds the system prompt and the turns of one request.

    Attributes:
        system: The system prompt, as text blocks.
        messages: The turns. Messages of one role that follow each other are one turn of several blocks.
        media: The images and documents in them.
    """

    def __init__(self, model: Model, notices: list[Notice]) -> None:
        self.system: list[Block] = []
        self.messages: list[Message] = []
        self.media: list[Placed] = []
        self.calls = Calls(notices)
        self._model = model
        self._notices = notices
        self._begun = False
        self._held: list[tuple[str, Block]] = []

    def take(self, messages: list[ChatMessage]) -> None:
        """Take the whole chat.

        Raises:
            InvalidRequest: A message cannot stand where it stands, or cannot be read; `param` names it.
        """
        for index, message in enumerate(messages):
            self._add(message, index)
        self.calls.require_answers("the end")
        self._release(last=True)
        self._ensure_user()
        self._check_last(len(messages) - 1)

    def _add(self, message: ChatMessage, index: int) -> None:
        path = f"messages[{index}]"
        if message.name and not isinstance(message, (ToolMessage, FunctionMessage)):
            self._notices.append(Notice("ignored", f"{path}.name", "Claude knows no names of participants."))
        match message:
            case SystemMessage() | DeveloperMessage():
                self._instruct(system_blocks(message.content), path)
            case UserMessage():
                self._say(user_blocks(message.content, f"{path}.content", self.media), path)
            case AssistantMessage():
                self._turn_of("assistant", [], path)
                self._append("assistant", self._assistant(message, index))
            case ToolMessage():
                id_ = self.calls.answered(message.tool_call_id, f"{path}.tool_call_id")
                self._result(id_, user_blocks(message.content, f"{path}.content", self.media))
            case FunctionMessage():
                id_ = self.calls.answered_by_name(message.name, f"{path}.name")
                self._result(id_, user_blocks(message.content, f"{path}.content", self.media))
            case _:
                assert_never(message)

    def _say(self, blocks: list[Block], path: str) -> None:
        self._turn_of("user", blocks, path)
        if blocks:
            self._begun = True
        else:
            self._notices.append(Notice("ignored", f"{path}.content", "There is nothing in this message."))

    def _instruct(self, blocks: list[Block], path: str) -> None:
        if self.messages:
            # Where it goes is known when the next turn comes: it may not stand between a call and its result.
            self._held += [(path, block) for block in blocks]
        else:
            self.system += blocks

    def _turn_of(self, role: Role, blocks: list[Block], path: str) -> None:
        self.calls.require_answers(f"`{path}`")
        self._release()
        self._append(role, blocks)

    def _assistant(self, message: AssistantMessage, index: int) -> list[Block]:
        path = f"messages[{index}]"
        said = assistant_blocks(message.content) or assistant_blocks(message.refusal)
        return [*thinking_blocks(message, path, self._notices), *said, *self.calls.made(message, index)]

    def _result(self, id_: str, content: list[Block]) -> None:
        block: Block = {"type": "tool_result", "tool_use_id": id_}
        if content:
            block["content"] = list(content)
        self._append("user", [block])

    def _release(self, *, last: bool = False) -> None:
        """Put held instructions behind the turn that was the last when they came, or into the system prompt."""
        held, self._held = self._held, []
        blocks = [block for _, block in held]
        if not held:
            return
        if last and self.messages and self.messages[-1]["role"] == "assistant":
            # The model is to answer them, not to continue what the assistant said.
            self._append("user", blocks)
            self._move(held, "Instructions that follow the assistant are sent as the user's.")
        elif not self._begun:
            self.system += blocks
        elif self._model.system_messages:
            self._append("system", blocks)
        else:
            self.system += blocks
            name = self._model.name
            self._move(held, f"{name} takes no system message inside the conversation; it joined the system prompt.")

    def _move(self, held: list[tuple[str, Block]], detail: str) -> None:
        self._notices += [Notice("moved", path, detail) for path in dict.fromkeys(path for path, _ in held)]

    def _append(self, role: Role, blocks: list[Block]) -> None:
        if not blocks:
            return
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": blocks})

    def _ensure_user(self) -> None:
        if not self.messages:
            self._system_as_user()
        elif self.messages[0]["role"] != "user":
            opening: Block = {"type": "text", "text": OPENING}
            self.messages.insert(0, {"role": "user", "content": [opening]})
            self._notices.append(Notice("mapped", "messages", "The API wants the user first: a line was put in front."))

    def _system_as_user(self) -> None:
        if not self.system:
            raise InvalidRequest("There is no text in any of the messages.", code="empty_messages", param="messages")
        self.messages.append({"role": "user", "content": self.system})
        self.system = []
        self._notices.append(Notice("moved", "messages", "Without a user's message the instructions are sent as one."))

    def _check_last(self, index: int) -> None:
        last = self.messages[-1]
        if last["role"] != "assistant":
            return
        if not self._model.prefill:
            raise UnsupportedFeature(
                f"{self._model.name} cannot continue an assistant message; the last message must be the user's.",
                code="unsupported_prefill",
                param=f"messages[{index}]",
            )
        self._trim(last["content"], index)

    def _trim(self, content: list[Block], index: int) -> None:
        """The API refuses a prefill that ends in white space."""
        text = content[-1].get("text")
        if isinstance(text, str) and text != text.rstrip():
            content[-1]["text"] = text.rstrip()
            self._notices.append(
                Notice("trimmed", f"messages[{index}].content", "White space at the end was left out.")
            )
