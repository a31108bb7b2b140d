"""Hashes of conversations: they grow message by message, and a copy grows by itself."""

from dragoman.core.conversation import ConversationHash
from dragoman.core.messages import JSONObject, Message

FIXED: JSONObject = {"model": "claude-haiku-5-5", "system": "Be brief."}
QUESTION: Message = {"role": "user", "content": [{"type": "text", "text": "One?"}]}
REPLY: Message = {"role": "assistant", "content": [{"type": "text", "text": "Two."}]}


def test_a_copy_grows_by_itself() -> None:
    """Messages added to a copy change the copy only, and give the same name as a hash of the whole conversation."""
    earlier = ConversationHash(FIXED).extend([QUESTION])
    name = earlier.name
    assert earlier.copy().extend([REPLY]).name == ConversationHash(FIXED).extend([QUESTION, REPLY]).name
    assert earlier.name == name


def test_a_copy_skips_thinking_as_its_original_does() -> None:
    """Thinking counts only in an exact hash, and only in exact copies."""
    thinking: Message = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, *REPLY["content"]],
    }
    loose, exact = ConversationHash(FIXED), ConversationHash(FIXED, exact=True)
    assert loose.copy().extend([thinking]).name == loose.copy().extend([REPLY]).name
    assert exact.copy().extend([thinking]).name != exact.copy().extend([REPLY]).name


def test_text_counts_however_it_is_cut() -> None:
    """Two adjacent texts have the hash of their sum, but not that of a message boundary between them."""
    cut: Message = {"role": "user", "content": [{"type": "text", "text": "O"}, {"type": "text", "text": "ne?"}]}
    assert ConversationHash(FIXED).extend([cut]).name == ConversationHash(FIXED).extend([QUESTION]).name
    two: list[Message] = [{"role": "user", "content": [block]} for block in cut["content"]]
    assert ConversationHash(FIXED).extend(two).name != ConversationHash(FIXED).extend([QUESTION]).name


def test_half_a_character_is_hashed() -> None:
    """In a text and in a call. Each half is another one."""
    hashes = set()
    for half in ("\ud83d", "\ude00"):
        call: JSONObject = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": half}}
        text: JSONObject = {"type": "text", "text": half}
        for block in (call, text):
            hashes.add(ConversationHash(FIXED).extend([{"role": "assistant", "content": [block]}]).name)
    assert len(hashes) == 4
