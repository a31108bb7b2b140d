"""One turn of a kept conversation.

Thinking that comes back: it is sent on only where Claude would take it.

Some models bind what they thought to the conversation that they thought it in: a block is valid only if everything
before it is the same to the byte. So each comes with the name of that conversation; where one does not fit, all
thinking is left out, with a notice, since what comes behind was thought after it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from dragoman.core.catalog import Model
from dragoman.core.conversation import THINKING_TYPES, ConversationHash, hashed_fields
from dragoman.core.media import Placed, url_of
from dragoman.core.messages import Block, JSONObject, Message, MessagesRequest
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.sealing import Thought


@dataclass(frozen=True, slots=True)
class PastTurn:
    """One earlier request and its answer.

    Attributes:
        items: What the client said.
        answer: What Claude said, block by block: nothing of it is lost on the way through items.
        model: Who answered.
        before: The exact name of the conversation that it was answered in.
    """

    items: Sequence[JSONObject]
    answer: Sequence[Block]
    model: str
    before: str


class Thoughts:
    """The thinking of one request.

    Args:
        model: Who is asked.
        warnings: Where to say what was left out.
    """

    def __init__(self, model: Model, warnings: list[RequestWarning]) -> None:
        self._model = model
        self._notices = warnings
        self._before: dict[int, str] = {}

    def taken(self, thought: Thought, param: str) -> list[Block]:
        """The block of a thought, unless it is another model's.

        Args:
            thought: What came back.
            param: Where it stands.
        """
        if thought.model != self._model.id:
            detail = f"{thought.model} thought this, which is nothing to {self._model.name}."
            self._notices.append(RequestWarning("left_out", param, detail))
            return []
        block = dict(thought.block)
        self._before[id(block)] = thought.before
        return [block]

    def settle(self, body: MessagesRequest, param: str) -> None:
        """Leave all thinking out where a thought does not fit what is before it.

        Args:
            body: The request; it is changed.
            param: The field that holds the conversation.
        """
        if not self._before or not self._model.bound_thinking or self._fit(body):
            return
        bare = [_without_thinking(message) for message in body["messages"]]
        body["messages"] = [message for message in bare if message["content"]]
        detail = "The conversation was changed since the model thought in it; all its thinking was left out."
        self._notices.append(RequestWarning("left_out", param, detail))

    def _fit(self, body: MessagesRequest) -> bool:
        so_far = ConversationHash(hashed_fields(body), exact=True)
        for message in body["messages"]:
            name = so_far.name
            if any(self._before.get(id(block), name) != name for block in message["content"]):
                return False
            so_far.add(message)
        return True


def name_of(body: MessagesRequest, model: Model, media: Sequence[Placed]) -> Callable[[], str]:
    """What gives the exact name of a conversation as it was sent, for thoughts that come behind it.

    Args:
        body: The request.
        model: Who is asked; where he binds thoughts to nothing, there is no name.
        media: The images and documents in it: those that come by URL may be fetched before the name is wanted.
    """

    @cache
    def name() -> str:
        if not model.bound_thinking:
            return ""
        whole = ConversationHash(hashed_fields(body), exact=True)
        for message in body["messages"]:
            whole.add(message)
        return whole.name

    if any(url_of(placed.block) for placed in media):
        name()
    return name


def _without_thinking(message: Message) -> Message:
    content = [block for block in message["content"] if block.get("type") not in THINKING_TYPES]
    return Message(role=message["role"], content=content)
