"""Thinking, kept for clients that do not send it back.

The API wants an assistant message's thinking back with it: some models refuse a tool's result without it, and all do
worse. OpenAI's clients drop it. So it is kept, by the name of the conversation that the message ends, and put back
where that conversation returns. On models that bind thinking to its conversation, a block is valid only if everything
before it is the same to the byte, earlier thinking included; where that is in doubt, all thinking of the conversation
is left out, with a notice.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import msgspec

from dragoman.catalog import Model
from dragoman.errors import GatewayError
from dragoman.messages import FinalMessage, JSONObject, Message, MessagesRequest
from dragoman.notices import Notice
from dragoman.prefix import THINKING, Prefix, fixed_parts
from dragoman.runs.skeleton import Skeleton, filled, skeleton_of
from dragoman.stores.base import Keep
from dragoman.values import unchanging

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
    bones: Skeleton

    def encoded(self) -> bytes:
        return msgspec.json.encode([self.before, self.bones])

    @classmethod
    def decoded(cls, value: bytes) -> "_Kept":
        return cls(*msgspec.json.decode(value))


@unchanging
class Restored:
    """A request with its thinking put back.

    Attributes:
        body: The request.
        notices: What the client is to know of it.
    """

    body: MessagesRequest
    notices: tuple[Notice, ...] = ()


class Thinking:
    """Keeps thinking and puts it back.

    Args:
        keep: Where it is kept.
        account: Tells the upstream account from others: thinking of one is nothing to another.
    """

    def __init__(self, keep: Keep, account: str) -> None:
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
            return settled(body)
        messages = list(body["messages"])
        for number, what in list(kept.items()):
            if content := filled(what.bones, messages[number]["content"]):
                messages[number] = Message(role="assistant", content=content)
            else:
                del kept[number]
        if model.bound_thinking and not self._unbroken(body, messages, kept):
            bare = [_without_thinking(message) for message in messages]
            detail = "The conversation was changed since the model thought in it; all its thinking was left out."
            return settled(_with(body, bare), Notice("left_out", "messages", detail))
        return settled(_with(body, messages))

    async def remember(self, body: MessagesRequest, message: FinalMessage) -> None:
        """Keep the thinking of an answer.

        Args:
            body: The request as it was sent, thinking put back.
            message: The answer.
        """
        content = message["content"]
        bones = skeleton_of(content)
        if bones is None:
            return
        exact = Prefix(self._fixed(body), exact=True)
        name = Prefix(self._fixed(body))
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
        name = Prefix(self._fixed(body))
        for number, message in enumerate(body["messages"][: max(wanted) + 1]):
            name.add(message)
            if number in wanted:
                yield number, name.name

    def _unbroken(self, body: MessagesRequest, messages: list[Message], kept: dict[int, _Kept]) -> bool:
        """Whether each block that is put back has before it what it had when it was made."""
        exact = Prefix(self._fixed(body), exact=True)
        for number, message in enumerate(messages):
            if number in kept and kept[number].before != exact.name:
                return False
            exact.add(message)
        return True

    def _fixed(self, body: MessagesRequest) -> JSONObject:
        return {**fixed_parts(body), "account": self._account, "form": _FORM}


def elsewhere(body: MessagesRequest) -> Restored:
    """A request without what another account has thought, which says nothing here and would be refused.

    Args:
        body: The request; it is not changed.
    """
    return _bare(body, "The conversation goes on at another account; the thinking of the one before was left out.")


def changed(body: MessagesRequest) -> Restored:
    """A request without thinking that the API refuses.

    Clients that send thinking back themselves may have changed what was before it, or put it in another place.

    Args:
        body: The request; it is not changed.
    """
    return _bare(body, "Claude refuses the thinking in this conversation, which was changed; all of it was left out.")


def is_foreign(error: GatewayError) -> bool:
    """Whether the API refuses a request because thinking in it is not its own, or not of this conversation."""
    return bool(_FOREIGN.search(error.message))


def settled(body: MessagesRequest, *notices: Notice) -> Restored:
    """A request that the API takes: without manual thinking where a tool's result comes without its call's thinking.

    Args:
        body: The request, with what thinking is known.
        notices: What the client is to know of it already.
    """
    if (body.get("thinking") or {}).get("type") != "enabled" or not _loop_without_thinking(body["messages"]):
        return Restored(body, notices)
    detail = "The thinking that led to the last tool call is not known any more; the model answers without thinking."
    off = cast("MessagesRequest", {**body, "thinking": {"type": "disabled"}})
    return Restored(off, (*notices, Notice("ignored", "reasoning_effort", detail)))


def _bare(body: MessagesRequest, detail: str) -> Restored:
    if not any(_thinks(message) for message in body["messages"]):
        return Restored(body)
    bare = [_without_thinking(message) for message in body["messages"]]
    return Restored(_with(body, bare), (Notice("left_out", "messages", detail),))


def _lacks_thinking(message: Message) -> bool:
    return message["role"] == "assistant" and not _thinks(message)


def _thinks(message: Message) -> bool:
    return any(block.get("type") in THINKING for block in message["content"])


def _without_thinking(message: Message) -> Message:
    content = [block for block in message["content"] if block.get("type") not in THINKING]
    return cast("Message", {**message, "content": content})


def _with(body: MessagesRequest, messages: list[Message]) -> MessagesRequest:
    return cast("MessagesRequest", {**body, "messages": [message for message in messages if message["content"]]})


def _loop_without_thinking(messages: list[Message]) -> bool:
    if len(messages) < 2:  # noqa: PLR2004 - a call and its result
        return False
    call, result = messages[-2:]
    answers = any(block.get("type") == "tool_result" for block in result["content"])
    return answers and call["content"][0].get("type") not in THINKING
