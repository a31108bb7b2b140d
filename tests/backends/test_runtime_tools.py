"""The client's tools as the model's own: parked calls, results in any form, replay where the process is gone."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from any_backend import client_messages
from backend_harness import ONE_OF_EACH, Answer, assistant, runtime, user
from gateways import until

from dragoman.core.events import Started
from dragoman.core.messages import JSON, Block, JSONObject, Message
from dragoman.simulator.faults import Fault

AUTH = pytest.mark.parametrize("signed_in", [False, True], ids=["key", "signed-in"])
WEATHER: JSONObject = {
    "name": "get_weather",
    "description": "The weather. " + 500 * "Long words. ",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CLOCK: JSONObject = {"name": "Bash", "description": "The time", "input_schema": {"type": "object"}}
TOOLS: list[JSONObject] = [WEATHER, CLOCK]
ASK = user('Call get_weather with {"city": "Paris"}, then tell me.')
ASK_BOTH = user('Call get_weather with {"city": "Paris"} and Bash with {} in parallel.')
IMAGE: Block = {
    "type": "image",
    "source": {
        "type": "base64",
        "media_type": "image/png",
        "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
    },
}


def calls_of(answer: Answer) -> list[Block]:
    """Return the tool calls of a response."""
    return [block for block in answer.accumulated.message["content"] if block["type"] == "tool_use"]


def result(call: Block, *content: Block | str, error: bool = False) -> Block:
    """Return a tool result, as a dialect makes it."""
    parts: list[JSON] = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    block: Block = {"type": "tool_result", "tool_use_id": call["id"], "content": parts}
    return {**block, "is_error": True} if error else block


@AUTH
@pytest.mark.parametrize("model", ONE_OF_EACH)
async def test_a_parked_call_continues_in_the_same_process(tmp_path: Path, model: str, *, signed_in: bool) -> None:
    """Call, result, response, next message: one process, one API call each, the tools as the client wrote them."""
    async with runtime(tmp_path, signed_in=signed_in) as harness:
        first = await harness.ask([ASK], model, tools=TOOLS)
        [call] = calls_of(first)
        assert (call["name"], call["input"]) == ("get_weather", {"city": "Paris"})
        assert first.accumulated.message["stop_reason"] == "tool_use"
        assert harness.calls[-1].body["tools"] == TOOLS
        assert harness.processes["live"] == 1
        messages = [ASK, assistant(call), user(result(call, "21 degrees"))]
        second = await harness.ask(messages, model, tools=TOOLS)
        assert (second.path, "21 degrees" in second.text) == ("live", True)
        assert client_messages(harness) == messages
        messages += [second.message, user("Thanks")]
        third = await harness.ask(messages, model, tools=TOOLS)
        assert third.path == "live"
        assert client_messages(harness) == messages
        assert len(harness.calls) == 3


@AUTH
@pytest.mark.parametrize("model", ONE_OF_EACH)
async def test_killing_the_process_between_call_and_result_changes_nothing(
    tmp_path: Path, model: str, *, signed_in: bool
) -> None:
    """The same conversation reaches the API, and the client gets the same response, live and replayed."""
    async with runtime(tmp_path, signed_in=signed_in) as harness:
        first = await harness.ask([ASK_BOTH], model, tools=TOOLS)
        weather, clock = calls_of(first)
        messages = [
            ASK_BOTH,
            assistant(weather, clock),
            user(result(clock, "noon", IMAGE), result(weather, "No such city", error=True)),
        ]
        for session in list(harness.backend._sessions):
            os.kill(session.pid, signal.SIGKILL)
            await session.exited
        replayed = await harness.ask(messages, model, tools=TOOLS)
        assert replayed.path == "cold"
        harness.backend._live.clear()
        again = await harness.ask([ASK_BOTH], model, tools=TOOLS)
        live_weather, live_clock = calls_of(again)
        live_messages = [
            ASK_BOTH,
            assistant(live_weather, live_clock),
            user(result(live_clock, "noon", IMAGE), result(live_weather, "No such city", error=True)),
        ]
        live = await harness.ask(live_messages, model, tools=TOOLS)
        assert live.path == "live"
        assert live.text == replayed.text
        ids = {str(live_weather["id"]): weather["id"], str(live_clock["id"]): clock["id"]}
        assert _renamed(client_messages(harness), ids) == client_messages(harness, 1)
        assert len(harness.calls) == 4


async def test_a_second_message_that_is_seen_after_the_results_were_sent_reaches_no_client(tmp_path: Path) -> None:
    """The process may be busy. It has made no call with the results: another one replays the conversation."""
    async with runtime(tmp_path) as harness:
        first = await harness.ask([ASK], tools=TOOLS)
        [call] = calls_of(first)
        [session] = [one for one in harness.backend._sessions if one._tools.names]
        os.kill(session.pid, signal.SIGSTOP)
        messages = [ASK, assistant(call), user(result(call, "21 degrees"))]
        answering = asyncio.create_task(harness.ask(messages, tools=TOOLS))
        await until(lambda: session._results_left > 0)
        session._on_frame({"type": "stream_event", "event": {"type": "message_start", "message": {}}})
        second = await answering
        assert [event.path for event in second.events if isinstance(event, Started)] == ["live", "cold"]
        assert "21 degrees" in second.text
        assert client_messages(harness) == messages
        assert len(harness.calls) == 2


def _renamed(messages: list[Message], ids: dict[str, JSON]) -> list[Message]:
    def renamed(block: Block) -> Block:
        return {
            key: ids.get(str(value), value) if key in {"id", "tool_use_id"} else value for key, value in block.items()
        }

    return [Message(role=m["role"], content=[renamed(block) for block in m["content"]]) for m in messages]


RESULTS: dict[str, tuple[list[Block | str], bool, str]] = {
    "one text": (["21 degrees"], False, "live"),
    "two texts": (["21", "degrees"], False, "live"),
    "image": ([IMAGE], False, "live"),
    "text and image": (["here", IMAGE], False, "live"),
    "error": (["no"], True, "live"),
    "error in two parts": (["no", "no"], True, "cold"),
    "empty": ([], False, "cold"),
    "200,000 characters": (["x" * 200_000], False, "live"),
    "400,000 characters": (["x" * 400_000], False, "cold"),
}


@pytest.mark.parametrize("case", RESULTS)
async def test_results_of_every_form_arrive_unchanged(tmp_path: Path, case: str) -> None:
    """Results that a parked call would change are replayed."""
    content, error, path = RESULTS[case]
    async with runtime(tmp_path) as harness:
        first = await harness.ask([ASK], tools=TOOLS)
        [call] = calls_of(first)
        messages = [ASK, assistant(call), user(result(call, *content, error=error))]
        harness.simulator.inject(Fault(content=[{"type": "text", "text": "I see."}]))
        second = await harness.ask(messages, tools=TOOLS)
        assert second.path == path
        assert client_messages(harness) == messages
        assert len(harness.calls) == 2


async def test_a_text_after_the_results_is_replayed_with_them(tmp_path: Path) -> None:
    """A parked call takes only results."""
    async with runtime(tmp_path) as harness:
        [call] = calls_of(await harness.ask([ASK], tools=TOOLS))
        messages = [ASK, assistant(call), user(result(call, "21 degrees"), "Reply with exactly: PONG")]
        second = await harness.ask(messages, tools=TOOLS)
        assert (second.path, second.text) == ("cold", "PONG")
        assert client_messages(harness) == messages


async def test_calls_of_other_origin_are_replayed_unchanged(tmp_path: Path) -> None:
    """Their ids are kept."""
    call: Block = {"type": "tool_use", "id": "abc123", "name": "get_weather", "input": {"city": "Rome"}}
    messages = [user("Weather?"), assistant("One moment.", call), user(result(call, "9 degrees"))]
    async with runtime(tmp_path) as harness:
        answer = await harness.ask(messages, tools=TOOLS)
        assert "9 degrees" in answer.text
        assert client_messages(harness) == messages


async def test_a_call_of_a_tool_that_was_not_offered_ends_the_process(tmp_path: Path) -> None:
    """The runtime would answer the call itself and call the model again."""
    async with runtime(tmp_path) as harness:
        call: Block = {"type": "tool_use", "id": "toolu_1", "name": "gone", "input": {"words": "one two " * 50}}
        harness.simulator.inject(Fault(content=[call], pace=0.003))
        answer = await harness.ask([user("Hello")], tools=TOOLS)
        assert calls_of(answer) == [call]
        assert len(harness.calls) == 1
        assert harness.processes["all"] == 0


async def test_a_parked_call_expires(tmp_path: Path) -> None:
    """Its process ends, and later results are replayed."""
    async with runtime(tmp_path, parked_ttl=0.01) as harness:
        [call] = calls_of(await harness.ask([ASK], tools=TOOLS))
        for session in list(harness.backend._sessions):
            await session.exited
        second = await harness.ask([ASK, assistant(call), user(result(call, "21 degrees"))], tools=TOOLS)
        assert (second.path, "21 degrees" in second.text) == ("cold", True)


@pytest.mark.parametrize(
    "choice", [{"type": "auto"}, {"type": "none"}, {"type": "any"}, {"type": "tool", "name": "Bash"}]
)
async def test_tool_choice_reaches_the_api_for_one_turn(tmp_path: Path, choice: JSONObject) -> None:
    """The next request does not send it."""
    async with runtime(tmp_path) as harness:
        first = await harness.ask([user("Hello")], tools=TOOLS, tool_choice=choice)
        assert harness.calls[-1].body["tool_choice"] == choice
        must_call = choice["type"] in {"any", "tool"}
        assert bool(calls_of(first)) is must_call
        if not must_call:
            await harness.ask([user("Hello"), first.message, user("Again")], tools=TOOLS)
            assert "tool_choice" not in harness.calls[-1].body


async def test_three_simultaneous_continuations_all_succeed(tmp_path: Path) -> None:
    """One takes the live process, the others are replayed."""
    async with runtime(tmp_path) as harness:
        [call] = calls_of(await harness.ask([ASK], tools=TOOLS))
        messages = [ASK, assistant(call), user(result(call, "21 degrees"))]
        answers = await asyncio.gather(*(harness.ask(messages, tools=TOOLS) for _ in range(3)))
        assert sorted(answer.path for answer in answers) == ["cold", "cold", "live"]
        assert len({answer.text for answer in answers}) == 1
        assert len(harness.calls) == 4


async def test_results_of_calls_whose_ids_look_like_copies_arrive(tmp_path: Path) -> None:
    """`call_1_2` after `call_1`, in one message and in two: each result reaches the API with its call."""
    one, two, three = _use("c_1"), _use("c_1_2"), _use("c_1-2")
    messages = [
        user("Now?"),
        assistant(one, two),
        user(result(one, "first"), result(two, "second")),
        assistant(three),
        user(result(three, "third")),
    ]
    async with runtime(tmp_path) as harness:
        answer = await harness.ask(messages, tools=TOOLS)
        assert "third" in answer.text
        assert client_messages(harness) == _renamed(messages, {"c_1": "c_1", "c_1_2": "c_1-2-", "c_1-2": "c_1-2"})
        [warning] = answer.started.warnings
        assert (warning.code, warning.param) == ("renamed", "messages")


def _use(id_: str) -> Block:
    return {"type": "tool_use", "id": id_, "name": "Bash", "input": {}}
