"""An answer without its words: where its thinking stood, and how its text was cut around it.

Chat clients send an answer's text back as one. Where the model thought in the middle of it, the text has to be cut
again before the thinking can be put back.

Thinking, kept for clients that do not send it back.

The API wants an assistant message's thinking back with it: some models refuse a tool's result without it, and all do
worse. OpenAI's clients drop it. So it is kept, by the name of the conversation that the message ends, and put back
where that conversation returns. On models that bind thinking to its conversation, a block is valid only if everything
before it is the same to the byte, earlier thinking included; where that is in doubt, all thinking of the conversation
is left out, with a notice.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import msgspec

from dragoman.core.catalog import Model
from dragoman.core.conversation import THINKING_TYPES, ConversationHash, hashed_fields
from dragoman.core.errors import GatewayError
from dragoman.core.messages import Block, FinalMessage, JSONObject, Message, MessagesRequest
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.stores.base import KeyValueStore

ThinkingLayout: TypeAlias = list[Block | int | None]
"""For each block of the answer: a thinking block as it is, the length of a text, or none for what is neither."""


def thinking_layout(content: Sequence[Block]) -> ThinkingLayout | None:
    """The skeleton of an answer; none where nothing was thought."""
    bones = [_bone(block) for block in content]
    return bones if any(isinstance(bone, dict) for bone in bones) else None


def restore_layout(bones: ThinkingLayout, content: Sequence[Block]) -> list[Block] | None:
    """An answer that came back without its thinking, with it again; none where the two do not fit.

    Args:
        bones: The skeleton of the answer as the model gave it.
        content: The answer as the client sends it back.
    """
    left = deque(content)
    made: list[Block] = []
    for bone in bones:
        if isinstance(bone, dict):
            made.append(bone)
        elif bone is None:
            if not left or left[0].get("type") == "text":
                return None
            made.append(left.popleft())
        elif bone:
            text = _cut(left, bone)
            if text is None:
                return None
            made.append(text)
    return None if left else made


def _bone(block: Block) -> Block | int | None:
    kind = block.get("type")
    if kind in THINKING_TYPES:
        return block
    return len(str(block.get("text") or "")) if kind == "text" else None


def _cut(left: deque[Block], length: int) -> Block | None:
    """A text of so many characters from the front of what is left; none where there is no such text to be sent."""
    last: Block = {}
    text = ""
    while len(text) < length and left and left[0].get("type") == "text":
        last = left.popleft()
        text += str(last["text"])
    text, rest = text[:length], text[length:]
    if len(text) < length or text.isspace():
        return None
    if rest:
        left.appendleft({**last, "text": rest})
        return {"type": "text", "text": text}
    return {**last, "text": text}


_FORM = 2
"""Of what is kept. It counts in the names, so that what an older gateway kept is not found."""

_FOREIGN = re.compile(r"bound to a different (conversation|account|organization)", re.IGNORECASE)
"""What the API says of thinking that is not its own."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of a message.

    Attributes:
        before: The exact name of the conversation before it.
        bones: Its thinking, and where that stood.
    """

    before: str
    bones: ThinkingLayout

    def encoded(self) -> bytes:
        return msgspec.json.encode([self.before, self.bones])

    @classmethod
    def decoded(cls, value: bytes) -> "_Kept":
        return cls(*msgspec.json.decode(value))


@value_object
class Restored:
    """A request with its thinking put back.

    Attributes:
        body: The request.
        warnings: What the client is to know of it.
    """

    body: MessagesRequest
    warnings: tuple[RequestWarning, ...] = ()


class ReasoningStore:
    """Keeps thinking and puts it back.

    Args:
        keep: Where it is kept.
        account: Tells the upstream account from others: thinking of one is nothing to another.
    """

    def __init__(self, keep: KeyValueStore, account: str) -> None:
        self._keep = keep
        self._account = account

    async def restore(self, body: MessagesRequest, model: Model) -> Restored:
        """Put back what is kept of a conversation.

        Args:
            body: The request; it is not changed.
            model: Whose rules hold.
        """
        kept = await self._kept(body)
        if not kept:
            return without_orphan_thinking(body)
        messages = list(body["messages"])
        for number, what in list(kept.items()):
            if content := restore_layout(what.bones, messages[number]["content"]):
                messages[number] = Message(role="assistant", content=content)
            else:
                del kept[number]
        if model.bound_thinking and not self._unbroken(body, messages, kept):
            bare = [_without_thinking(message) for message in messages]
            detail = "The conversation was changed since the model thought in it; all its thinking was left out."
            return without_orphan_thinking(_with(body, bare), RequestWarning("left_out", "messages", detail))
        return without_orphan_thinking(_with(body, messages))

    async def remember(self, body: MessagesRequest, message: FinalMessage) -> None:
        """Keep the thinking of an answer.

        Args:
            body: The request as it was sent, thinking put back.
            message: The answer.
        """
        content = message["content"]
        bones = thinking_layout(content)
        if bones is None:
            return
        exact = ConversationHash(self._fixed(body), exact=True)
        name = ConversationHash(self._fixed(body))
        for earlier in body["messages"]:
            exact.add(earlier)
            name.add(earlier)
        name.add(Message(role="assistant", content=content))
        await self._keep.put(name.name, _Kept(exact.name, bones).encoded())

    async def _kept(self, body: MessagesRequest) -> dict[int, _Kept]:
        """What is kept of each assistant message that came without its thinking."""
        bare = {number for number, message in enumerate(body["messages"]) if _lacks_thinking(message)}
        if not bare:
            return {}
        names = dict(self._names(body, bare))
        found = await self._keep.get(list(names.values()))
        return {number: _Kept.decoded(found[name]) for number, name in names.items() if name in found}

    def _names(self, body: MessagesRequest, wanted: set[int]) -> Iterator[tuple[int, str]]:
        """The name of the conversation after each of these messages."""
        name = ConversationHash(self._fixed(body))
        for number, message in enumerate(body["messages"][: max(wanted) + 1]):
            name.add(message)
            if number in wanted:
                yield number, name.name

    def _unbroken(self, body: MessagesRequest, messages: list[Message], kept: dict[int, _Kept]) -> bool:
        """Whether each block that is put back has before it what it had when it was made."""
        exact = ConversationHash(self._fixed(body), exact=True)
        for number, message in enumerate(messages):
            if number in kept and kept[number].before != exact.name:
                return False
            exact.add(message)
        return True

    def _fixed(self, body: MessagesRequest) -> JSONObject:
        return {**hashed_fields(body), "account": self._account, "form": _FORM}


def without_foreign_thinking(body: MessagesRequest) -> Restored:
    """A request without what another account has thought, which says nothing here and would be refused.

    Args:
        body: The request; it is not changed.
    """
    return _bare(body, "The conversation goes on at another account; the thinking of the one before was left out.")


def without_rejected_thinking(body: MessagesRequest) -> Restored:
    """A request without thinking that the API refuses.

    Clients that send thinking back themselves may have changed what was before it, or put it in another place.

    Args:
        body: The request; it is not changed.
    """
    return _bare(body, "Claude refuses the thinking in this conversation, which was changed; all of it was left out.")


def is_thinking_rejected(error: GatewayError) -> bool:
    """Whether the API refuses a request because thinking in it is not its own, or not of this conversation."""
    return bool(_FOREIGN.search(error.message))


def without_orphan_thinking(body: MessagesRequest, *warnings: RequestWarning) -> Restored:
    """A request that the API takes: without manual thinking where a tool's result comes without its call's thinking.

    Args:
        body: The request, with what thinking is known.
        warnings: What the client is to know of it already.
    """
    if (body.get("thinking") or {}).get("type") != "enabled" or not _loop_without_thinking(body["messages"]):
        return Restored(body, warnings)
    detail = "The thinking that led to the last tool call is not known any more; the model answers without thinking."
    off = cast("MessagesRequest", {**body, "thinking": {"type": "disabled"}})
    return Restored(off, (*warnings, RequestWarning("ignored", "reasoning_effort", detail)))


def _bare(body: MessagesRequest, detail: str) -> Restored:
    if not any(_thinks(message) for message in body["messages"]):
        return Restored(body)
    bare = [_without_thinking(message) for message in body["messages"]]
    return Restored(_with(body, bare), (RequestWarning("left_out", "messages", detail),))


def _lacks_thinking(message: Message) -> bool:
    return message["role"] == "assistant" and not _thinks(message)


def _thinks(message: Message) -> bool:
    return any(block.get("type") in THINKING_TYPES for block in message["content"])


def _without_thinking(message: Message) -> Message:
    content = [block for block in message["content"] if block.get("type") not in THINKING_TYPES]
    return cast("Message", {**message, "content": content})


def _with(body: MessagesRequest, messages: list[Message]) -> MessagesRequest:
    return cast("MessagesRequest", {**body, "messages": [message for message in messages if message["content"]]})


def _loop_without_thinking(messages: list[Message]) -> bool:
    if len(messages) < 2:  # noqa: PLR2004 - a call and its result
        return False
    call, result = messages[-2:]
    answers = any(block.get("type") == "tool_result" for block in result["content"])
    return answers and call["content"][0].get("type") not in THINKING_TYPES
