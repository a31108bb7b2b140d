"""An answer without its words: where its thinking stood, and how its text was cut around it.

Chat clients send an answer's text back as one. Where the model thought in the middle of it, the text has to be cut
again before the thinking can be put back.
"""

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from dragoman.messages import Block
from dragoman.prefix import THINKING

Skeleton: TypeAlias = list[Block | int | None]
"""For each block of the answer: a thinking block as it is, the length of a text, or none for what is neither."""


def skeleton_of(content: Sequence[Block]) -> Skeleton | None:
    """The skeleton of an answer; none where nothing was thought."""
    bones = [_bone(block) for block in content]
    return bones if any(isinstance(bone, dict) for bone in bones) else None


def filled(bones: Skeleton, content: Sequence[Block]) -> list[Block] | None:
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
    if kind in THINKING:
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
