"""The state machines hold for a few random programs; `make fuzz` runs them for longer."""

import pytest
from fuzz_conversations import ConversationMachine
from fuzz_stored_responses import StoredResponsesMachine, run_machine
from scripted import clean

_clean = pytest.fixture(autouse=True)(clean)


def test_conversations_arrive_unchanged() -> None:
    """Claude receives each text, call and result once and in order, in every dialect."""
    run_machine(ConversationMachine, examples=10, steps=12)


def test_stored_responses_are_what_was_stored() -> None:
    """After any order of creating, continuing, deleting and starting again."""
    run_machine(StoredResponsesMachine, examples=3, steps=15)
