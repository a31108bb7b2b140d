"""Store thinking for clients that do not send it back, and restore it.

The API wants the thinking of an assistant message back: some models reject a tool's result without it, and all models
do worse without it. OpenAI's clients drop it. So it is stored under the hash of the conversation that the message ends,
and restored when the conversation returns.

Models that bind thinking to its conversation accept a block only if everything before it is unchanged to the byte,
earlier thinking included. If that is not certain, all thinking of the conversation is left out, with a warning.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import msgspec

from dragoman.core.catalog import Model
from dragoman.core.conversation import (
    THINKING_TYPES,
    ConversationHash,
    client_scope,
    has_thinking,
    hashed_fields,
    have_thinking,
    without_thinking,
)
from dragoman.core.errors import GatewayError
from dragoman.core.messages import Block, FinalMessage, JSONObject, Message, MessagesRequest
from dragoman.core.warnings import RequestWarning
from dragoman.stores.base import KeyValueStore

ThinkingLayout: TypeAlias = list[Block | int | None]
"""One item for each block of a response: a thinking block as it is, the length of a text, or None for any other."""

_FORM = 2
"""The version of the stored format. It is part of the hash, so that data of an older gateway is not found."""

_FOREIGN = re.compile(r"bound to a different (conversation|account|organization)", re.IGNORECASE)
"""What the API answers to thinking of another conversation, account or organization."""


@dataclass(slots=True)
class ConversationHashes:
    """The two hashes of one conversation, which grow as far as they are needed. No message is hashed twice.

    Attributes:
        fixed: The hashed fields of the request other than its messages.
        name: The hash without thinking: stored thinking is found by it.
        named: The number of messages in `name`.
        exact: The hash with thinking: it tells whether thinking is still valid. None while it is not needed.
    """

    fixed: JSONObject
    name: ConversationHash = field(init=False)
    named: int = 0
    exact: ConversationHash | None = None

    def __post_init__(self) -> None:
        self.name = ConversationHash(self.fixed)

    def name_after(self, messages: Sequence[Message], count: int) -> str:
        """Return the hash without thinking of the first messages. The count may only grow from call to call."""
        self.name.extend(messages[self.named : count])
        self.named = count
        return self.name.name


@dataclass(slots=True, unsafe_hash=True)
class Restored:
    """A request with its thinking restored, or left out.

    Attributes:
        body: The request's body.
        warnings: What the client should know about it.
        hashes: The hashes of the conversation as far as they are known, for `ReasoningStore.store`.
    """

    body: MessagesRequest
    warnings: tuple[RequestWarning, ...] = ()
    hashes: ConversationHashes | None = field(default=None, compare=False)


class ReasoningStore:
    """Stores thinking and restores it.

    Args:
        values: Stores the encoded thinking by its name.
        account: Identifies the account at Claude: thinking of one account is invalid for another.
    """

    def __init__(self, values: KeyValueStore, account: str) -> None:
        self._values = values
        self._account = account

    async def restore(self, body: MessagesRequest, model: Model, client: str = "local") -> Restored:
        """Restore the stored thinking of a conversation.

        Args:
            body: The request's body; it is not changed.
            model: The model that answers the request.
            client: The name of the client. It gets only the thinking of its own conversations.
        """
        if self._values.is_empty():
            return without_orphan_thinking(body)
        messages = body["messages"]
        bare = [
            index
            for index, message in enumerate(messages)
            if message["role"] == "assistant" and not has_thinking(message)
        ]
        if not bare:
            return without_orphan_thinking(body)
        hashes = self._hashes(body, client)
        names = {index: hashes.name_after(messages, index + 1) for index in bare}
        found = await self._values.get(list(names.values()))
        if not found:
            return _carry(hashes, body, without_orphan_thinking(body))
        messages = list(messages)
        before: dict[int, str] = {}
        for index, name in names.items():
            if name in found:
                before_message, layout = _decode(found[name])
                if content := restore_layout(layout, messages[index]["content"]):
                    messages[index] = Message(role="assistant", content=content)
                    before[index] = before_message
        if not before:
            return _carry(hashes, body, without_orphan_thinking(body))
        if model.bound_thinking:
            exact = ConversationHash(hashes.fixed, exact=True)
            if not _is_unchanged(exact, messages, before):
                detail = "The conversation was changed since the model thought in it; all its thinking was left out."
                stripped = cast("MessagesRequest", {**body, "messages": without_thinking(messages)})
                warning = RequestWarning("left_out", "messages", detail)
                return _carry(hashes, body, without_orphan_thinking(stripped, warning))
            hashes.exact = exact
        filled = [message for message in messages if message["content"]]
        restored = cast("MessagesRequest", {**body, "messages": filled})
        return _carry(hashes, body, without_orphan_thinking(restored))

    async def store(self, restored: Restored, response: FinalMessage, client: str = "local") -> None:
        """Store the thinking of a response, if it has any.

        Args:
            restored: The request as it was sent, as `restore` returned it.
            response: The response.
            client: The name of the client.
        """
        content = response["content"]
        layout = thinking_layout(content)
        if layout is None:
            return
        messages = restored.body["messages"]
        hashes = restored.hashes or self._hashes(restored.body, client)
        if hashes.exact is None:
            hashes.exact = ConversationHash(hashes.fixed, exact=True).extend(messages)
        name = hashes.name_after([*messages, Message(role="assistant", content=content)], len(messages) + 1)
        await self._values.put(name, _encode(hashes.exact.name, layout))

    def _hashes(self, body: MessagesRequest, client: str) -> ConversationHashes:
        fixed: JSONObject = {**hashed_fields(body), "account": self._account, "form": _FORM, **client_scope(client)}
        return ConversationHashes(fixed)


def thinking_layout(content: Sequence[Block]) -> ThinkingLayout | None:
    """Return the layout of a response; None if it contains no thinking."""
    layout = [_layout_item(block) for block in content]
    return layout if any(isinstance(item, dict) for item in layout) else None


def restore_layout(layout: ThinkingLayout, content: Sequence[Block]) -> list[Block] | None:
    """Return a response with its thinking, from one that came back without it.

    Chat clients send the text of a response back as one block. It is cut again where the model thought in the middle.

    Args:
        layout: The layout of the response as the model sent it.
        content: The response as the client sends it back.

    Returns:
        The blocks as the model sent them; None if the content does not fit the layout.
    """
    remaining = deque(content)
    blocks: list[Block] = []
    for item in layout:
        if isinstance(item, dict):
            blocks.append(item)
        elif item is None:
            if not remaining or remaining[0].get("type") == "text":
                return None
            blocks.append(remaining.popleft())
        elif item:
            text = _cut_text(remaining, item)
            if text is None:
                return None
            blocks.append(text)
    return None if remaining else blocks


def without_foreign_thinking(body: MessagesRequest) -> Restored:
    """Return a request without the thinking of another upstream, which would be rejected.

    Args:
        body: The request's body; it is not changed.
    """
    return _strip(body, "The conversation continues at another upstream; its earlier thinking was left out.")


def without_rejected_thinking(body: MessagesRequest) -> Restored:
    """Return a request without thinking that the API rejects.

    Clients that send thinking back may have changed what comes before it, or moved it.

    Args:
        body: The request's body; it is not changed.
    """
    return _strip(body, "Claude rejects the thinking in this conversation, which was changed; all of it was left out.")


def is_thinking_rejected(error: GatewayError) -> bool:
    """Return whether the API rejects a request because of thinking of another account or conversation."""
    return bool(_FOREIGN.search(error.message))


def without_orphan_thinking(body: MessagesRequest, *warnings: RequestWarning) -> Restored:
    """Return a request that the API accepts: manual thinking is off if a tool call came back without its thinking.

    Args:
        body: The request's body, with the thinking that is known.
        warnings: Warnings about the request so far.
    """
    if (body.get("thinking") or {}).get("type") != "enabled" or not _is_tool_loop_without_thinking(body["messages"]):
        return Restored(body, warnings)
    detail = "The thinking before the last tool call is not known any more; the model answers without thinking."
    disabled = cast("MessagesRequest", {**body, "thinking": {"type": "disabled"}})
    return Restored(disabled, (*warnings, RequestWarning("ignored", "reasoning_effort", detail)))


def _carry(hashes: ConversationHashes, original: MessagesRequest, restored: Restored) -> Restored:
    """Return the restored request with the hashes of its conversation, unless messages were dropped from it."""
    if len(restored.body["messages"]) != len(original["messages"]):
        return restored
    return Restored(restored.body, restored.warnings, hashes)


def _is_unchanged(exact: ConversationHash, messages: Sequence[Message], before: dict[int, str]) -> bool:
    """Return whether each restored block has the same conversation before it as when the model wrote it.

    Args:
        exact: The empty hash. It contains all messages if the result is true.
        messages: The messages, with thinking restored.
        before: The hash of the conversation before each message whose thinking was restored, by the message's index.
    """
    for index, message in enumerate(messages):
        if index in before and before[index] != exact.name:
            return False
        exact.add(message)
    return True


def _layout_item(block: Block) -> Block | int | None:
    kind = block.get("type")
    if kind in THINKING_TYPES:
        return block
    return len(str(block.get("text") or "")) if kind == "text" else None


def _cut_text(remaining: deque[Block], length: int) -> Block | None:
    """Take a text of this length from the front of the remaining blocks.

    Returns:
        The text block; None if there is not enough text, or if the API would reject the text as blank.
    """
    last: Block = {}
    text = ""
    while len(text) < length and remaining and remaining[0].get("type") == "text":
        last = remaining.popleft()
        text += str(last["text"])
    text, rest = text[:length], text[length:]
    if len(text) < length or text.isspace():
        return None
    if rest:
        remaining.appendleft({**last, "text": rest})
        return {"type": "text", "text": text}
    return {**last, "text": text}


def _encode(before: str, layout: ThinkingLayout) -> bytes:
    """Encode what is stored of a message: the exact hash of the conversation before it, and its layout."""
    return msgspec.json.encode([before, layout])


def _decode(value: bytes) -> tuple[str, ThinkingLayout]:
    before, layout = msgspec.json.decode(value)
    return before, layout


def _strip(body: MessagesRequest, detail: str) -> Restored:
    if not have_thinking(body["messages"]):
        return Restored(body)
    stripped = cast("MessagesRequest", {**body, "messages": without_thinking(body["messages"])})
    return Restored(stripped, (RequestWarning("left_out", "messages", detail),))


def _is_tool_loop_without_thinking(messages: Sequence[Message]) -> bool:
    if len(messages) < 2:  # noqa: PLR2004 - a call and its result
        return False
    call, result = messages[-2:]
    has_result = any(block.get("type") == "tool_result" for block in result["content"])
    return has_result and call["content"][0].get("type") not in THINKING_TYPES
