"""Reasoning that clients send back: thinking blocks are accepted only where the API accepts them.

Some models bind their thinking to its conversation: a block is valid only if everything before it is unchanged, to the
byte. Each block therefore comes with the hash of the conversation before it. If one block does not match, all thinking
is removed from the request, with a warning: later content depends on it.
"""

from collections.abc import Callable, Sequence
from functools import cache

from dragoman.core.catalog import Model
from dragoman.core.conversation import (
    THINKING_TYPES,
    ConversationHash,
    has_thinking,
    hashed_fields,
    have_thinking,
    without_thinking,
)
from dragoman.core.media import Placed, url_of
from dragoman.core.messages import Block, MessagesRequest
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.sealing import Thought


class ReturnedThinking:
    """The thinking blocks that one request sends back.

    Args:
        model: The model that answers the request.
        warnings: Receives a warning for each block that is left out.
    """

    def __init__(self, model: Model, warnings: list[RequestWarning]) -> None:
        self._model = model
        self._warnings = warnings
        self._accepted: list[Thought] = []

    def accept(self, thought: Thought, param: str) -> list[Block]:
        """Return the thinking block, or no block if another model wrote it.

        Args:
            thought: The block, its model, and the hash of the conversation before it.
            param: The field that it came in.
        """
        if thought.model != self._model.id:
            detail = f"This reasoning is by {thought.model}; {self._model.name} cannot use it."
            self._warnings.append(RequestWarning("left_out", param, detail))
            return []
        self._accepted.append(thought)
        return [dict(thought.block)]

    def remove_if_invalid(self, body: MessagesRequest, param: str) -> str | None:
        """Remove all thinking from the body if one block does not belong where it is.

        Args:
            body: The request; changed in place.
            param: The field that holds the conversation.

        Returns:
            The hash of the conversation, if it had to be computed and is unchanged.
        """
        if not self._model.bound_thinking or not have_thinking(body["messages"]):
            return None
        if valid := self._hash_if_valid(body):
            return valid
        body["messages"] = without_thinking(body["messages"])
        detail = "The conversation has changed since the model wrote its reasoning; all reasoning was left out."
        self._warnings.append(RequestWarning("left_out", param, detail))
        return None

    def _hash_if_valid(self, body: MessagesRequest) -> str | None:
        """Return the hash of the conversation if each thinking block is the next accepted one, after its conversation.

        Blocks are compared by value: a copy is the same block, and a block that was never accepted is invalid.
        """
        accepted = iter(self._accepted)
        conversation = ConversationHash(hashed_fields(body), exact=True)
        for message in body["messages"]:
            if has_thinking(message):
                before = conversation.name
                for block in message["content"]:
                    if block.get("type") not in THINKING_TYPES:
                        continue
                    thought = next(accepted, None)
                    if thought is None or thought.block != block or thought.conversation_hash != before:
                        return None
            conversation.add(message)
        return conversation.name


def conversation_hash(
    body: MessagesRequest, model: Model, media: Sequence[Placed], known: str | None
) -> Callable[[], str]:
    """Return a function that hashes the conversation as the client sent it, to bind the response's thinking to it.

    The hash is computed on the first call, because most responses do not need it. It is computed at once if the request
    has media by URL: fetching replaces the URLs in the body.

    Args:
        body: The request.
        model: The model that answers it. The hash is empty if the model does not bind its thinking.
        media: The images and documents in the request.
        known: The hash, if it was computed before.
    """

    @cache
    def compute() -> str:
        if known is not None:
            return known
        if not model.bound_thinking:
            return ""
        return ConversationHash(hashed_fields(body), exact=True).extend(body["messages"]).name

    if any(url_of(placed.block) for placed in media):
        compute()
    return compute
