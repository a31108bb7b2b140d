"""Conversations through the real runtime: what reaches the API, live and replayed, with a key and with a sign-in."""

import base64
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from backend_harness import MODELS, ONE_OF_EACH, Runtime, ask, assistant, is_alive, runtime, text, user, without_marks
from conversation_strategies import TOOLS
from gateways import until

from dragoman.core.messages import Block, JSONObject, Message
from dragoman.core.value_object import replace

AUTH = pytest.mark.parametrize("signed_in", [False, True], ids=["key", "signed-in"])


def png(size: int, shade: int) -> Block:
    """Return a square grey picture."""
    return _picture(size, size, shade=shade)


def _picture(width: int, height: int, length: int = 0, *, shade: int = 0) -> Block:
    """Return a grey picture of a size in pixels and a minimum length in bytes."""
    row = b"\0" + bytes([shade] * 3) * width

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    image = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(row * height)) + chunk(b"IEND", b"")
    image = image.ljust(length, b"\0")
    source: JSONObject = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(image).decode()}
    return {"type": "image", "source": source}


def sent(harness: Runtime, call: int = -1) -> list[object]:
    """Return the client's own messages of a call: without cache marks, reminders, effort messages and thinking."""
    kept: list[object] = []
    for message in without_thinking(harness.calls[call].body["messages"]):
        if message["role"] != "system":
            content = [b for b in message["content"] if not str(b.get("text", "")).startswith("<system-reminder>")]
            kept.append({"role": message["role"], "content": content})
    return kept


def without_thinking(value: object) -> list[Message]:
    """Return messages without cache marks and thinking: a live process holds thinking, but clients do not send it."""
    messages = cast("list[Message]", without_marks(value))
    return [
        Message(role=message["role"], content=[b for b in message["content"] if b["type"] != "thinking"])
        for message in messages
    ]


@AUTH
@pytest.mark.parametrize("model", ONE_OF_EACH)
async def test_a_live_conversation_and_its_replay_are_the_same_request(
    tmp_path: Path, model: str, *, signed_in: bool
) -> None:
    """Three turns in one process reach the API message for message; replayed they are the same request."""
    messages: list[Message] = []
    async with runtime(tmp_path, signed_in=signed_in) as harness:
        for number, words in enumerate(("First words.", "Second words.", "Third words.")):
            messages.append(user(words))
            answer = await harness.ask(messages, model, system=[{"type": "text", "text": "Be brief."}])
            assert answer.path == ("live" if number else answer.path)
            assert len(harness.calls) == number + 1
            assert sent(harness) == messages
            messages.append(answer.message)
        live = harness.calls[-1].body
        harness.simulator.clear()
        harness.backend._live.clear()
        again = await harness.ask(messages[:-1], model, system=[{"type": "text", "text": "Be brief."}])
        assert again.path in {"warm", "cold"}
        [call] = harness.calls
        assert without_thinking(call.body["messages"]) == without_thinking(live["messages"])
        assert without_marks(call.body["system"]) == without_marks(live["system"])
        assert again.text == messages[-1]["content"][0]["text"]


async def test_thirty_one_messages_with_images_arrive_message_for_message(tmp_path: Path) -> None:
    """A long new conversation with pictures is replayed exactly, in one call."""
    messages: list[Message] = []
    for number in range(15):
        pictures = [png(4 + number, 10 * number)] if number % 3 == 0 else []
        messages += [user(*pictures, f"Question {number}"), assistant(f"Answer {number}")]
    messages.append(user("And now?"))
    async with runtime(tmp_path) as harness:
        await harness.ask(messages, "claude-sonnet-4-5")
        assert len(harness.calls) == 1
        assert len(messages) == 31
        assert sent(harness) == messages


async def test_images_within_the_runtimes_limits_arrive_unchanged(tmp_path: Path) -> None:
    """Up to 2,000 pixels a side and 512,000 bytes, and larger ones in a tool's result. There is no warning."""
    call: Block = {"type": "tool_use", "id": "abc", "name": "look", "input": {}}
    result: Block = {
        "type": "tool_result",
        "tool_use_id": "abc",
        "content": [_picture(2001, 9), _picture(9, 9, 512_001)],
    }
    messages = [user(_picture(2000, 2000), _picture(9, 9, 512_000), "What?"), assistant(call), user(result)]
    async with runtime(tmp_path) as harness:
        answer = await harness.ask(messages, tools=[{"name": "look", "input_schema": {"type": "object"}}])
        assert sent(harness) == messages
        assert answer.started.warnings == ()


@pytest.mark.parametrize(("width", "length"), [(2001, 0), (9, 512_001)])
async def test_larger_images_cause_a_warning(tmp_path: Path, width: int, length: int) -> None:
    """The runtime makes them smaller, and the client gets a warning."""
    messages = [user(_picture(width, 9, length), "What?")]
    async with runtime(tmp_path) as harness:
        answer = await harness.ask(messages)
        assert sent(harness) != messages
        [warning] = answer.started.warnings
        assert (warning.code, warning.param) == ("resized", "messages")


@AUTH
async def test_a_users_text_stays_text(tmp_path: Path, *, signed_in: bool) -> None:
    """File mentions and commands in a prompt stay text, live and replayed. No file of this machine is read."""
    messages: list[Message] = []
    async with runtime(tmp_path, signed_in=signed_in) as harness:
        for words in ("@/etc/hostname", "Look at @/etc/hostname please", "/help", "/clear", "!ls", "# note"):
            messages.append(user(words))
            answer = await harness.ask(messages)
            assert answer.path == ("cold" if len(messages) == 1 else "live")
            assert sent(harness) == messages
            messages.append(answer.message)
        harness.backend._live.clear()
        await harness.ask(messages[:-1])
        assert sent(harness) == messages[:-1]


@pytest.mark.parametrize("model", MODELS)
async def test_sampling_and_limits_reach_the_api(tmp_path: Path, model: str) -> None:
    """Each parameter that a model takes is in the body, and none remains from the turn before."""
    async with runtime(tmp_path) as harness:
        params: JSONObject = {"stop_sequences": ["END"]}
        if model == "claude-sonnet-4-5":
            params |= {"temperature": 0.25, "top_k": 7}
        first = await harness.ask([user("One")], model, max_tokens=9000, **params)
        body = harness.calls[-1].body
        assert {key: body[key] for key in params} == params
        assert body["max_tokens"] == 9000
        assert "thinking" not in body
        second = await harness.ask([user("One"), first.message, user("Two")], model)
        assert second.path == "live"
        body = harness.calls[-1].body
        assert "stop_sequences" not in body
        assert "top_k" not in body
        assert body.get("temperature", 1) == 1
        assert body["max_tokens"] != 9000


@pytest.mark.parametrize("model", ONE_OF_EACH)
async def test_the_model_that_a_process_was_booted_for_is_not_sent(tmp_path: Path, model: str) -> None:
    """Processes are booted for the likely model. A request for another model is the same in every field."""
    bodies: list[JSONObject] = []
    for likely in {model, "claude-sonnet-5-5", "claude-sonnet-4-5"}:
        async with runtime(tmp_path, default_model=likely, warm_processes=1) as harness:
            await until(partial(len, harness.backend._processes))
            assert (await harness.ask([user("One")], model)).path == "warm"
            assert len(harness.simulator.received) == 1
            bodies.append({key: value for key, value in harness.calls[-1].body.items() if key != "metadata"})
    assert bodies == [bodies[0]] * len(bodies)
    assert len(bodies) > 1


@AUTH
async def test_a_process_that_was_initialized_ahead(tmp_path: Path, *, signed_in: bool) -> None:
    """The third conversation in a row with the same prompt makes the API call that the first made."""
    model, fields = "claude-opus-5-5", {"system": [text("Be brief.")], "tools": TOOLS, "max_tokens": 9000}
    async with runtime(tmp_path, signed_in=signed_in, default_model=model, warm_processes=2) as harness:
        pool = harness.backend._processes._pool
        await until(lambda: len(pool) == 2)
        bodies: list[JSONObject] = []
        for ahead in (False, False, True):
            if ahead:
                await until(lambda: any(key.prompt and sessions for key, sessions in pool._waiting.items()))
            assert (await harness.ask([user("One")], model, **fields)).path == "warm"
            bodies.append({**harness.calls[-1].body, "metadata": None})
        assert not any(key.prompt and sessions for key, sessions in pool._waiting.items())
        assert len(harness.simulator.received) == 3
    assert bodies == [bodies[0]] * 3


async def test_another_model_or_system_prompt_is_another_conversation(tmp_path: Path) -> None:
    """A live process is used only if model and system prompt are those of its conversation."""
    async with runtime(tmp_path) as harness:
        first = await harness.ask([user("One")], system=[{"type": "text", "text": "A"}])
        messages = [user("One"), first.message, user("Two")]
        other = await harness.ask(messages, system=[{"type": "text", "text": "B"}])
        assert other.path != "live"
        assert "B" in str(harness.calls[-1].body["system"])
        another = await harness.ask(messages, "claude-haiku-4-5", system=[{"type": "text", "text": "A"}])
        assert another.path != "live"
        same = await harness.ask(messages, system=[{"type": "text", "text": "A"}])
        assert same.path == "live"


async def test_a_live_process_belongs_to_the_client_whose_conversation_it_holds(tmp_path: Path) -> None:
    """Another client that sends the same transcript gets a process of its own."""
    async with runtime(tmp_path) as harness:
        first = await ask(harness.backend, replace(harness.request([user("One")]), client="ann"))
        again = harness.request([user("One"), first.message, user("Two")])
        paths = [(await ask(harness.backend, replace(again, client=client))).path for client in ("bob", "ann")]
        assert paths == ["cold", "live"]


async def test_an_edited_conversation_is_replayed_and_the_original_stays_live(tmp_path: Path) -> None:
    """Editing an earlier message makes another conversation. The process of the original is not affected."""
    async with runtime(tmp_path) as harness:
        first = await harness.ask([user("One")])
        edited = await harness.ask([user("Uno"), first.message, user("Two")])
        assert edited.path != "live"
        assert sent(harness) == [user("Uno"), first.message, user("Two")]
        assert (await harness.ask([user("One"), first.message, user("Two")])).path == "live"


async def test_a_prefill_is_sent_as_the_last_message(tmp_path: Path) -> None:
    """A last assistant message reaches a model that accepts it unchanged, with nothing after it."""
    async with runtime(tmp_path) as harness:
        await harness.ask([user("Say it"), assistant("It is")], "claude-sonnet-4-5")
        assert sent(harness) == [user("Say it"), assistant("It is")]


async def test_later_system_messages_join_the_system_prompt_with_a_warning(tmp_path: Path) -> None:
    """The runtime takes no system message between others. The client gets a warning."""
    later = Message(role="system", content=[{"type": "text", "text": "Be kind."}])
    async with runtime(tmp_path) as harness:
        answer = await harness.ask([user("One"), assistant("Two"), later, user("Three")], "claude-opus-5-5")
        assert [warning.code for warning in answer.started.warnings] == ["moved"]
        assert sent(harness) == [user("One"), assistant("Two"), user("Three")]
        assert "Be kind." in str(harness.calls[-1].body["system"])


async def test_no_prompt_is_on_the_command_line(tmp_path: Path) -> None:
    """Other users of the machine can read command lines and environments of processes."""
    async with runtime(tmp_path) as harness:
        await harness.ask([user("a-secret-question")], system=[{"type": "text", "text": "a-secret-order"}])
        [session] = harness.backend._sessions
        process = Path("/proc") / str(session.pid)
        public = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        assert b"secret" not in public
        assert is_alive(session.pid)


async def test_the_environment_is_scrubbed_and_names_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime gets only the variables that it needs. Its requests name this gateway."""
    monkeypatch.setenv("SECRET_OF_THE_OWNER", "x")
    async with runtime(tmp_path, signed_in=True) as harness:
        await harness.ask([user("One")])
        [session] = harness.backend._sessions
        assert b"SECRET_OF_THE_OWNER" not in (Path("/proc") / str(session.pid) / "environ").read_bytes()
        headers = harness.calls[-1].headers
        assert "client-app/dragoman/" in headers["user-agent"]
        assert headers["authorization"] == "Bearer dummy-token"
