"""Thinking that clients send back: it reaches the model only if it is valid where it is."""

from chat_support import NEWEST
from responses_support import CIPHER

from dragoman.core.catalog import Catalog
from dragoman.core.conversation import ConversationHash, hashed_fields
from dragoman.core.messages import Block, MessagesRequest
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.responses.reasoning import ReturnedThinking
from dragoman.dialects.shared.sealing import Thought

MODEL = Catalog().resolve(NEWEST).model  # binds its thinking to the conversation
THINKING: Block = {"type": "thinking", "thinking": "Hm.", "signature": "S"}


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _body(*content: Block) -> MessagesRequest:
    """Return a request whose only assistant message has this content, and text after it."""
    return {
        "model": MODEL.id,
        "messages": [
            {"role": "user", "content": [_text("Hello")]},
            {"role": "assistant", "content": [*content, _text("Hi")]},
            {"role": "user", "content": [_text("And?")]},
        ],
    }


def _hash_before_answer() -> str:
    body = _body()
    conversation = ConversationHash(hashed_fields(body), exact=True)
    conversation.add(body["messages"][0])
    return conversation.name


def _remaining(body: MessagesRequest, *accepted: Thought) -> tuple[list[str], list[str]]:
    """Return the block types of the assistant message, and the codes of the warnings."""
    warnings: list[RequestWarning] = []
    thinking = ReturnedThinking(MODEL, warnings)
    for thought in accepted:
        thinking.accept(thought, "input[1]")
    thinking.remove_if_invalid(body, "input")
    types = [str(block["type"]) for block in body["messages"][1]["content"]]
    return types, [warning.code for warning in warnings]


def test_copied_block_of_another_conversation_is_removed() -> None:
    """A copy of the accepted block is recognized as the same block."""
    thought = Thought(MODEL.id, "0" * 64, THINKING)
    assert _remaining(_body(dict(THINKING)), thought) == (["text"], ["left_out"])


def test_copied_block_of_the_same_conversation_stays() -> None:
    """The copy is valid where the original is."""
    thought = Thought(MODEL.id, _hash_before_answer(), THINKING)
    assert _remaining(_body(dict(THINKING)), thought) == (["thinking", "text"], [])


def test_block_that_was_never_accepted_is_removed() -> None:
    """Unknown thinking is invalid, alone and next to accepted thinking."""
    foreign: Block = {**THINKING, "signature": "T"}
    assert _remaining(_body(foreign)) == (["text"], ["left_out"])
    thought = Thought(MODEL.id, _hash_before_answer(), THINKING)
    assert _remaining(_body(THINKING, foreign), thought) == (["text"], ["left_out"])


def test_changed_block_is_removed() -> None:
    """A block whose content differs from the accepted one is invalid."""
    thought = Thought(MODEL.id, _hash_before_answer(), THINKING)
    assert _remaining(_body({**THINKING, "thinking": "Oh."}), thought) == (["text"], ["left_out"])


def test_what_is_encrypted_for_one_client_is_nothing_to_another() -> None:
    """Reasoning and summaries alike. The operator reads what was encrypted before clients were kept apart."""
    thought = Thought(MODEL.id, "0" * 64, THINKING)
    ann, bob = CIPHER.for_client("ann"), CIPHER.for_client("bob")
    for cipher, others in ((ann, (bob, CIPHER)), (CIPHER, (ann, bob))):
        sealed, summary = cipher.encrypt_thought(thought), cipher.encrypt_summary("So far")
        assert sealed is not None
        assert (cipher.decrypt_thought(sealed), cipher.decrypt_summary(summary)) == (thought, "So far")
        assert [other.decrypt_thought(sealed) for other in others] == [None, None]
        assert [other.decrypt_summary(summary) for other in others] == [None, None]
        assert cipher.for_client("key").decrypt_summary(CIPHER.encrypt_summary("So far")) == "So far"
