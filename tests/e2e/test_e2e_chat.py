"""Chat through the whole gateway and the real runtime, with the official client."""

import base64
from pathlib import Path
from typing import cast

import pytest
from backend_harness import without_marks
from gateways import NEW, OLD, gateway, stream_text, user_message
from openai.types.chat import ChatCompletionMessageParam
from scripted import clean

from dragoman.core.messages import JSONObject

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

MODELS = pytest.mark.parametrize("model", [OLD, NEW, "claude-opus-5"])
CONVERSATION: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "First words."},
    {"role": "assistant", "content": "An answer."},
    {"role": "user", "content": "Reply with exactly: PONG"},
]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def received_messages(call: JSONObject) -> list[object]:
    """Return the client's messages in a request to the API, as roles and blocks."""
    messages = cast("list[JSONObject]", without_marks(call["messages"]))
    return [message for message in messages if message["role"] != "system"]


def text_block(text: str) -> JSONObject:
    """Return a text block."""
    return {"type": "text", "text": text}


def unique_image(number: int) -> tuple[str, JSONObject]:
    """Return an image as a URL for the client, and as the block that the API receives."""
    data = base64.b64encode(PNG + bytes([number])).decode()
    source: JSONObject = {"type": "base64", "media_type": "image/png", "data": data}
    return f"data:image/png;base64,{data}", {"type": "image", "source": source}


@MODELS
async def test_plain_response(tmp_path: Path, model: str) -> None:
    """It has text, usage and headers; the API receives the whole conversation in one call."""
    async with gateway(tmp_path) as running:
        raw = await running.openai.chat.completions.with_raw_response.create(model=model, messages=CONVERSATION)
        response = raw.parse()
        assert response.choices[0].message.content == "PONG"
        assert response.choices[0].finish_reason == "stop"
        assert response.usage
        assert response.usage.total_tokens == response.usage.prompt_tokens + response.usage.completion_tokens > 1
        assert raw.headers["x-dragoman-path"] == "cold"
        assert raw.headers["x-dragoman-run-id"].startswith("run_")
        assert raw.headers["x-request-id"] == raw.request_id
        assert {part.split(";")[0] for part in raw.headers["server-timing"].split(", ")} >= {
            "queue",
            "process",
            "replay",
            "first_token",
        }
        [call] = running.simulator.calls
        assert received_messages(call.body) == [
            {"role": str(message["role"]), "content": [text_block(str(message["content"]))]}
            for message in CONVERSATION[1:]
        ]
        assert cast("list[JSONObject]", call.body["system"])[-1]["text"] == "Be brief."


@MODELS
async def test_streamed_response(tmp_path: Path, model: str) -> None:
    """All chunks have one id; the role comes first, the usage last."""
    async with gateway(tmp_path) as running:
        raw = await running.openai.chat.completions.with_raw_response.create(
            model=model, messages=CONVERSATION, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in raw.parse()]
        assert stream_text(chunks) == "PONG"
        assert len({chunk.id for chunk in chunks}) == 1
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].choices == []
        assert chunks[-1].usage
        assert raw.headers["x-dragoman-path"] == "cold"
        assert raw.headers["x-dragoman-run-id"].startswith("run_")
        assert len(running.simulator.calls) == 1


CASES: list[tuple[str, JSONObject, str]] = [
    ("Count to 40", {}, "stop"),
    ("Count to 40", {"max_tokens": 3}, "length"),
    ("Count to 40", {"max_completion_tokens": 9000}, "stop"),
    ("Reply with exactly: one END two", {"stop": ["END"]}, "stop"),
    ("Count to 40\nSimulate: stop refusal after 3", {}, "content_filter"),
    ("Grüße, 世界 🌍", {"temperature": 0.5}, "stop"),
]


@pytest.mark.parametrize(("text", "fields", "reason"), CASES, ids=lambda value: str(value)[:40])
async def test_accumulated_stream_equals_the_plain_response(
    tmp_path: Path, text: str, fields: dict[str, object], reason: str
) -> None:
    """Message, finish reason and usage are equal."""
    async with gateway(tmp_path) as running:
        completions = running.openai.chat.completions
        request = {"model": OLD, "messages": user_message(text), **fields}
        plain = await completions.create(**request)  # type: ignore[call-overload]
        usage = {"stream_options": {"include_usage": True}}
        async with completions.stream(**request, **usage) as stream:  # type: ignore[arg-type]
            async for _ in stream:
                pass
            accumulated = stream.current_completion_snapshot
    choice = accumulated.choices[0]
    assert plain.choices[0].finish_reason == choice.finish_reason == reason
    assert (choice.message.content, choice.message.refusal) == (
        plain.choices[0].message.content,
        plain.choices[0].message.refusal,
    )
    assert accumulated.usage
    assert accumulated.usage.total_tokens == plain.usage.total_tokens


async def test_long_conversation_with_images_is_sent_in_one_call(tmp_path: Path) -> None:
    """Every message and every image keeps its position."""
    messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": "Be brief."}]
    expected: list[object] = []
    for number in range(14):
        url, image = unique_image(number)
        words = f"Question {number}"
        parts = [{"type": "text", "text": words}, {"type": "image_url", "image_url": {"url": url}}]
        answer = {"role": "assistant", "content": f"Answer {number}"}
        messages += cast("list[ChatCompletionMessageParam]", [{"role": "user", "content": parts}, answer])
        expected += [
            {"role": "user", "content": [text_block(words), image]},
            {"role": "assistant", "content": [text_block(f"Answer {number}")]},
        ]
    messages += user_message("And now?")
    expected += [{"role": "user", "content": [text_block("And now?")]}]
    assert len(messages) == 30
    async with gateway(tmp_path) as running:
        await running.openai.chat.completions.create(model=NEW, messages=messages)
        [call] = running.simulator.calls
        assert received_messages(call.body) == expected


async def test_next_turn_uses_the_live_process_unless_the_history_changed(tmp_path: Path) -> None:
    """A client may also change its earlier messages."""
    async with gateway(tmp_path) as running:
        completions = running.openai.chat.completions.with_raw_response
        first = await completions.create(model=NEW, messages=user_message("One"))
        answer = first.parse().choices[0].message.content
        paths = []
        for words in ("One", "Uno"):
            messages = user_message(words)
            messages += [{"role": "assistant", "content": answer}, *user_message("Two")]
            paths.append((await completions.create(model=NEW, messages=messages)).headers["x-dragoman-path"])
        assert paths == ["live", "cold"]
        assert len(running.simulator.calls) == 3


async def test_each_choice_is_one_call(tmp_path: Path) -> None:
    """The usage of `n` choices is added up."""
    async with gateway(tmp_path) as running:
        response = await running.openai.chat.completions.create(model=OLD, messages=user_message("Hello"), n=3)
        assert [choice.index for choice in response.choices] == [0, 1, 2]
        assert len({choice.message.content for choice in response.choices}) == 1
        assert len(running.simulator.calls) == 3


async def test_models_are_those_of_the_runtime(tmp_path: Path) -> None:
    """The list is complete once a process has started; an alias can be retrieved."""
    async with gateway(tmp_path) as running:
        await running.openai.chat.completions.create(model=OLD, messages=user_message("Hello"))
        listed = [model.id async for model in running.openai.models.list()]
        assert "claude-sonnet-5-5" in listed
        assert (await running.openai.models.retrieve("sonnet")).id
