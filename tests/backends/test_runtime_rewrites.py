"""What the runtime would lose or change: it is sent in another form, with a warning, live and replayed alike."""

from pathlib import Path

from any_backend import client_messages
from backend_harness import Answer, assistant, runtime, text, user
from conversation_strategies import IMAGE, TOOLS

from dragoman.core.messages import JSON, Block, Message
from dragoman.simulator.faults import Fault


def call(id_: str) -> Block:
    """Return a tool call."""
    return {"type": "tool_use", "id": id_, "name": "look", "input": {}}


def result(id_: str, *content: Block, error: bool = False) -> Block:
    """Return a tool result."""
    block: Block = {"type": "tool_result", "tool_use_id": id_, "content": list[JSON](content)}
    return {**block, "is_error": True} if error else block


def warnings(answer: Answer) -> list[str]:
    """Return the codes of the warnings about the messages."""
    return [warning.code for warning in answer.started.warnings if warning.param == "messages"]


async def test_texts_after_a_call_are_sent_before_it(tmp_path: Path) -> None:
    """The runtime sends calls last, live and replayed. The client gets a warning both times, and one API call."""
    reply = [text("One."), call("toolu_1"), text("Two."), call("toolu_2"), text("Three.")]
    moved = assistant(reply[0], reply[2], reply[4], reply[1], reply[3])
    results = user(result("toolu_2", text("b")), result("toolu_1", text("a")))
    async with runtime(tmp_path) as harness:
        harness.simulator.inject(Fault(content=reply))
        first = await harness.ask([user("x")], tools=TOOLS)
        assert first.accumulated.message["content"] == reply
        for path in ("live", "cold"):
            answer = await harness.ask([user("x"), assistant(*reply), results], tools=TOOLS)
            assert (answer.path, warnings(answer)) == (path, ["moved"])
            assert client_messages(harness) == [user("x"), moved, user(*reversed(results["content"]))]
            harness.backend._live.clear()
        assert len(harness.calls) == 3


async def test_a_lone_no_content_is_kept_as_a_message(tmp_path: Path) -> None:
    """The runtime would drop it, and join the users around it. A process that received it is not used again."""
    async with runtime(tmp_path) as harness:
        harness.simulator.inject(Fault(content=[text("(no content)")]))
        await harness.ask([user("x")])
        answer = await harness.ask([user("x"), assistant("(no content)"), user("y")])
        assert (answer.path, warnings(answer)) == ("cold", ["changed"])
        assert client_messages(harness) == [user("x"), assistant("(no content)."), user("y")]


async def test_an_error_with_an_image_arrives_complete(tmp_path: Path) -> None:
    """The runtime sends only the texts of an error. So a result with an image is sent without the mark."""
    messages: list[Message] = [
        user("x"),
        assistant(call("a1"), call("a2")),
        user(result("a1", text("Look"), IMAGE, error=True), result("a2", text("no"), error=True)),
    ]
    async with runtime(tmp_path) as harness:
        answer = await harness.ask(messages, tools=TOOLS)
        assert warnings(answer) == ["unmarked"]
        assert client_messages(harness)[-1] == user(
            result("a1", text("Look"), IMAGE), result("a2", text("no"), error=True)
        )


async def test_a_message_of_only_thinking_is_left_out(tmp_path: Path) -> None:
    """The runtime drops it without a word. The client gets a warning, and the users around it are two blocks."""
    thought: Block = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    async with runtime(tmp_path) as harness:
        answer = await harness.ask([user("x"), assistant(thought), user("y")])
        assert warnings(answer) == ["left_out"]
        assert client_messages(harness) == [user("x", "y")]
