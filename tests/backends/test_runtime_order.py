"""The order of blocks: every block reaches the API where the client put it, live and replayed."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

from any_backend import BACKENDS, client_messages, either
from backend_harness import ONE_OF_EACH, Runtime, assistant, runtime, text, user, without_marks
from conversation_strategies import DOCUMENT, IMAGE, TOOLS, Plan, arriving, in_call_order, plans
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code.protocol import replay_batches
from dragoman.backends.claude_code.translate import RuntimeRequest, translate_request
from dragoman.core.catalog import Catalog
from dragoman.core.messages import JSON, Block, JSONObject, Message, MessagesRequest
from dragoman.simulator.faults import Fault

THINKING: dict[str, JSONObject] = {
    "claude-sonnet-4-5": {"type": "enabled", "budget_tokens": 2000},
    "claude-opus-5": {"type": "adaptive", "display": "summarized"},
    "claude-opus-5-5": {"type": "adaptive", "display": "summarized"},
}


def call(id_: str, name: str = "look") -> Block:
    """Return a tool call."""
    return {"type": "tool_use", "id": id_, "name": name, "input": {}}


def result(id_: str, *content: Block | str, error: bool = False) -> Block:
    """Return a tool result."""
    parts: list[JSON] = [text(part) if isinstance(part, str) else part for part in content]
    block: Block = {"type": "tool_result", "tool_use_id": id_, "content": parts}
    return {**block, "is_error": True} if error else block


CONVERSATIONS: dict[str, list[Message]] = {
    "text beside a call, text behind its result": [
        user("x"),
        assistant("Let me look.", call("a1")),
        user(result("a1", "RED"), "What now?"),
    ],
    "image behind the result": [
        user("x"),
        assistant("Let me look.", call("a1")),
        user(result("a1", "RED"), IMAGE, "What now?", DOCUMENT),
    ],
    "parallel calls": [
        user("x"),
        assistant("One.", "Two.", call("a1"), call("a2", "Bash")),
        user(result("a1", "RED", IMAGE), result("a2", "no", error=True), "What", "now?"),
    ],
    "deep in the history": [
        user("x"),
        assistant("Let me look.", call("a1")),
        user(result("a1", "RED"), "More."),
        assistant("Once more.", call("b1")),
        user(result("b1", "BLUE")),
        assistant("It is blue."),
        user("Thanks"),
    ],
}


@BACKENDS
async def test_texts_stay_before_a_call_and_after_its_result(tmp_path: Path, kind: str) -> None:
    """Results come first in their message, then what the user added. The API refuses any other order."""
    async with either(kind, tmp_path) as harness:
        for name, messages in CONVERSATIONS.items():
            answer = await harness.ask(messages, tools=TOOLS)
            assert client_messages(harness) == messages, name
            assert answer.started.warnings == ()
        assert len(harness.calls) == len(CONVERSATIONS)


async def test_the_order_is_the_same_with_a_sign_in(tmp_path: Path) -> None:
    """The reminders that the runtime adds come before the first message, and change no order."""
    async with runtime(tmp_path, signed_in=True) as harness:
        for name, messages in CONVERSATIONS.items():
            await harness.ask(messages, tools=TOOLS)
            assert client_messages(harness) == messages, name


def translated(messages: Sequence[Message], model: str = "claude-sonnet-4-5") -> RuntimeRequest:
    """Return a conversation as the runtime gets it."""
    body = cast("MessagesRequest", {"model": model, "messages": list(messages), "tools": TOOLS})
    return translate_request(RunRequest("run_test", Catalog().resolve(model).model, body))


@settings(max_examples=150)
@given(plans(max_turns=6))
def test_every_block_is_in_the_frames_in_the_clients_order(plan: Plan) -> None:
    """What differs is what the runtime is known to change, and each change has a warning."""
    request = translated(plan.messages)
    frames = [frame for batch in replay_batches(request.messages, request.model) for frame in batch]
    expected = arriving(plan.messages)
    assert [cast("JSONObject", frame["message"])["content"] for frame in frames] == [m["content"] for m in expected]
    assert bool(request.warnings) == (expected != in_call_order(plan.messages))


def test_every_block_arrives_live_and_replayed(tmp_path: Path) -> None:
    """Conversations of every kind of block reach the API block for block, through the real runtime.

    Each begins with 20 messages, so that it is replayed by transcript, too.
    """
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        harness = runner.run(stack.enter_async_context(runtime(tmp_path)))

        # Nothing is shrunk: each example boots processes.
        @settings(
            max_examples=4,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        @given(plans(max_turns=3), st.sampled_from(ONE_OF_EACH), st.booleans())
        def hold(plan: Plan, model: str, thinks: bool) -> None:  # noqa: FBT001 - the strategy gives it
            runner.run(_hold(harness, plan, model, {"thinking": THINKING[model]} if thinks else {}))

        try:
            hold()
        finally:
            runner.run(stack.aclose())


async def _hold(harness: Runtime, plan: Plan, model: str, fields: JSONObject) -> None:
    harness.simulator.clear()
    harness.backend._processes.takes_transcripts = True
    messages = [*(message for _ in range(10) for message in (user("One"), assistant("Two"))), user(*plan.first)]
    for turn in plan.turns:
        harness.simulator.inject(Fault(content=turn.reply))
        answer = await harness.ask(messages, model, tools=TOOLS, **fields)
        # As clients of the Messages API send it back, thinking included.
        messages += [
            assistant(*answer.accumulated.message["content"]),
            user(*turn.results, *turn.after),
        ]
        _assert_arrived(harness, messages[:-2])
    harness.simulator.inject(Fault(content=[text("Seen.")]))
    await harness.ask(messages, model, tools=TOOLS, **fields)
    _assert_arrived(harness, messages)
    for path in ("cold", "resume"):
        harness.backend._live.clear()
        harness.backend._processes.takes_transcripts = path == "resume"
        harness.simulator.inject(Fault(content=[text("Seen.")]))
        replayed = await harness.ask(messages, model, tools=TOOLS, **fields)
        assert replayed.path == path
        _assert_arrived(harness, messages)
    by_frames, by_transcript = (call.body["messages"] for call in harness.calls[-2:])
    assert by_frames == by_transcript
    assert len(harness.calls) == len(plan.turns) + 3
    harness.backend._live.clear()


def _assert_arrived(harness: Runtime, messages: Sequence[Message]) -> None:
    """Hold the last request to the client's messages, with their thinking."""
    assert _comparable(harness.calls[-1].body["messages"]) == _comparable(arriving(messages))


def _comparable(messages: object) -> list[Message]:
    """Return messages without marks and the runtime's settings, and texts of results as blocks."""
    return [
        Message(role=message["role"], content=[_with_block_content(block) for block in message["content"]])
        for message in cast("list[Message]", without_marks(messages))
        if message["role"] != "system"
    ]


def _with_block_content(block: Block) -> Block:
    content = block.get("content")
    return {**block, "content": [text(content)]} if isinstance(content, str) else block
