"""Hypothesis strategies: conversations of every kind of content block, in every order that the API accepts."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend_harness import assistant, text, user
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from dragoman.core.messages import JSON, Block, JSONObject, Message

TOOLS: list[JSONObject] = [
    {"name": name, "description": f"To {name}", "input_schema": {"type": "object"}} for name in ("look", "Bash")
]
IMAGE: Block = {
    "type": "image",
    "source": {
        "type": "base64",
        "media_type": "image/png",
        "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
    },
}
DOCUMENT: Block = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A note"}}

TEXTS = st.one_of(
    st.sampled_from(["(no content)", "Let me look.", "/clear", "@/etc/hostname", "  padded  ", "a\n\nb", "[]", "🦊"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12).filter(str.strip),
)
TEXT_BLOCKS = TEXTS.map(text)
USER_BLOCKS = st.one_of(TEXT_BLOCKS, st.sampled_from([IMAGE, DOCUMENT]))


@dataclass(frozen=True)
class Turn:
    """What the assistant says, and what the user replies.

    Attributes:
        reply: The assistant's texts and calls, in any order.
        results: One result for each call, in any order.
        after: What the user adds after the results.
    """

    reply: list[Block]
    results: list[Block]
    after: list[Block]


@dataclass(frozen=True)
class Plan:
    """A conversation: the user's first message, and the turns after it."""

    first: list[Block]
    turns: list[Turn]

    @property
    def messages(self) -> list[Message]:
        """The messages as a client sends them."""
        pairs = ((assistant(*turn.reply), user(*turn.results, *turn.after)) for turn in self.turns)
        return [user(*self.first), *(message for pair in pairs for message in pair)]


@st.composite
def plans(draw: DrawFn, max_turns: int) -> Plan:
    """Conversations in which a text can be before, between and after calls, and anything after the results."""
    first = draw(st.lists(USER_BLOCKS, min_size=1, max_size=3))
    count = draw(st.integers(min_value=1, max_value=max_turns))
    return Plan(first, [draw(_turns(number)) for number in range(count)])


@st.composite
def _turns(draw: DrawFn, number: int) -> Turn:
    kinds = draw(st.lists(st.sampled_from(["text", "call"]), min_size=1, max_size=4))
    reply = [draw(TEXT_BLOCKS) if kind == "text" else draw(_calls(number, place)) for place, kind in enumerate(kinds)]
    calls = [block for block in reply if block["type"] == "tool_use"]
    results = [draw(_results(call)) for call in calls]
    after = draw(st.lists(USER_BLOCKS, min_size=0 if calls else 1, max_size=3))
    return Turn(reply, draw(st.permutations(results)), after)


def _calls(number: int, place: int) -> SearchStrategy[Block]:
    name, arguments = st.sampled_from(["look", "Bash"]), st.dictionaries(TEXTS, TEXTS, max_size=1)
    id_ = f"toolu_{number}{'abcd'[place]}"
    return st.builds(
        lambda name, input_: {"type": "tool_use", "id": id_, "name": name, "input": input_}, name, arguments
    )


@st.composite
def _results(draw: DrawFn, call: Block) -> Block:
    content: JSON = draw(st.one_of(TEXTS, st.lists(st.one_of(TEXT_BLOCKS, st.just(IMAGE)), max_size=3).map(list[JSON])))
    result: Block = {"type": "tool_result", "tool_use_id": call["id"], "content": content}
    return {**result, "is_error": True} if draw(st.booleans()) else result


def in_call_order(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with results in the order of their calls, as the runtime sends them."""
    ordered: list[Message] = []
    calls: list[JSON] = []
    for message in messages:
        results = [block for block in message["content"] if block["type"] == "tool_result"]
        others = [block for block in message["content"] if block["type"] != "tool_result"]
        results.sort(key=lambda block: calls.index(block["tool_use_id"]))
        calls = [block["id"] for block in others if block["type"] == "tool_use"]
        ordered.append(Message(role=message["role"], content=[*results, *others]))
    return ordered


def arriving(messages: Sequence[Message]) -> list[Message]:
    """Return the messages as they must reach the API through the runtime, with what it is known to change.

    Calls are the last blocks of their message. An error that is more than text has no mark. A reply
    of only "(no content)" has a full stop.
    """
    return [Message(role=message["role"], content=_arriving_blocks(message)) for message in in_call_order(messages)]


def _arriving_blocks(message: Message) -> list[Block]:
    content = message["content"]
    if message["role"] == "user":
        return [_without_mark(block) if _is_marked_image(block) else block for block in content]
    spoken = [block for block in content if block["type"] != "thinking"]
    if all(str(block.get("text")).strip() == "(no content)" for block in spoken):
        return [text("(no content).") if block in spoken else block for block in content]
    return sorted(content, key=lambda block: block["type"] == "tool_use")


def _is_marked_image(block: Block) -> bool:
    content = block.get("content")
    return isinstance(content, list) and IMAGE in content


def _without_mark(block: Block) -> Block:
    return {key: value for key, value in block.items() if key != "is_error"}
