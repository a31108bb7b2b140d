"""Chat through the whole gateway and the real runtime, by the official client."""

import base64
from pathlib import Path
from typing import cast

import pytest
from backend_harness import without_marks
from gateways import NEW, OLD, gateway, question, text_in
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


def arrived(call: JSONObject) -> list[object]:
    """The client's messages in a request, as `role` and blocks."""
    messages = cast("list[JSONObject]", without_marks(call["messages"]))
    return [message for message in messages if message["role"] != "system"]


def block(words: str) -> JSONObject:
    """A text block."""
    return {"type": "text", "text": words}


def picture(number: int) -> tuple[str, JSONObject]:
    """An image that no other is equal to: as a URL for the client, and as the block that the API gets."""
    data = base64.b64encode(PNG + bytes([number])).decode()
    source: JSONObject = {"type": "base64", "media_type": "image/png", "data": data}
    return f"data:image/png;base64,{data}", {"type": "image", "source": source}


@MODELS
async def test_plain(tmp_path: Path, model: str) -> None:
    """The answer, its figures and its headers; the API was asked once, for all of the conversation."""
    async with gateway(tmp_path) as running:
        raw = await running.openai.chat.completions.with_raw_response.create(model=model, messages=CONVERSATION)
        made = raw.parse()
        assert made.choices[0].message.content == "PONG"
        assert made.choices[0].finish_reason == "stop"
        assert made.usage
        assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens > 1
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
        assert arrived(call.body) == [
            {"role": str(message["role"]), "content": [block(str(message["content"]))]} for message in CONVERSATION[1:]
        ]
        assert cast("list[JSONObject]", call.body["system"])[-1]["text"] == "Be brief."


@MODELS
async def test_streamed(tmp_path: Path, model: str) -> None:
    """Chunks of one id, the role first, usage last; a spare process answers."""
    async with gateway(tmp_path, spares=1) as running:
        raw = await running.openai.chat.completions.with_raw_response.create(
            model=model, messages=CONVERSATION, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in raw.parse()]
        assert text_in(chunks) == "PONG"
        assert len({chunk.id for chunk in chunks}) == 1
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].choices == []
        assert chunks[-1].usage
        assert raw.headers["x-dragoman-path"] in {"warm", "cold"}
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


@pytest.mark.parametrize(("words", "more", "reason"), CASES, ids=lambda value: str(value)[:40])
async def test_a_folded_stream_is_the_plain_answer(
    tmp_path: Path, words: str, more: dict[str, object], reason: str
) -> None:
    """Message, reason and figures are the same both ways."""
    async with gateway(tmp_path) as running:
        completions = running.openai.chat.completions
        asked = {"model": OLD, "messages": question(words), **more}
        plain = await completions.create(**asked)  # type: ignore[call-overload]
        usage = {"stream_options": {"include_usage": True}}
        async with completions.stream(**asked, **usage) as stream:  # type: ignore[arg-type]
            async for _ in stream:
                pass
            folded = stream.current_completion_snapshot
    choice = folded.choices[0]
    assert plain.choices[0].finish_reason == choice.finish_reason == reason
    assert (choice.message.content, choice.message.refusal) == (
        plain.choices[0].message.content,
        plain.choices[0].message.refusal,
    )
    assert folded.usage
    assert folded.usage.total_tokens == plain.usage.total_tokens


async def test_thirty_messages_with_images_arrive_message_for_message(tmp_path: Path) -> None:
    """A long conversation that comes for the first time is one API call, and every image stays in its place."""
    messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": "Be brief."}]
    wanted: list[object] = []
    for number in range(14):
        url, image = picture(number)
        words = f"Question {number}"
        parts = [{"type": "text", "text": words}, {"type": "image_url", "image_url": {"url": url}}]
        answer = {"role": "assistant", "content": f"Answer {number}"}
        messages += cast("list[ChatCompletionMessageParam]", [{"role": "user", "content": parts}, answer])
        wanted += [
            {"role": "user", "content": [block(words), image]},
            {"role": "assistant", "content": [block(f"Answer {number}")]},
        ]
    messages += question("And now?")
    wanted += [{"role": "user", "content": [block("And now?")]}]
    assert len(messages) == 30
    async with gateway(tmp_path) as running:
        await running.openai.chat.completions.create(model=NEW, messages=messages)
        [call] = running.simulator.calls
        assert arrived(call.body) == wanted


async def test_the_next_turn_is_live_and_an_edited_one_is_not(tmp_path: Path) -> None:
    """A conversation goes on in its process; the same client may also change what it said before."""
    async with gateway(tmp_path) as running:
        completions = running.openai.chat.completions.with_raw_response
        first = await completions.create(model=NEW, messages=question("One"))
        answer = first.parse().choices[0].message.content
        paths = []
        for words in ("One", "Uno"):
            messages = question(words)
            messages += [{"role": "assistant", "content": answer}, *question("Two")]
            paths.append((await completions.create(model=NEW, messages=messages)).headers["x-dragoman-path"])
        assert paths == ["live", "cold"]
        assert len(running.simulator.calls) == 3


async def test_several_choices_are_several_calls(tmp_path: Path) -> None:
    """`n` asks the API so often; the figures are added up."""
    async with gateway(tmp_path) as running:
        made = await running.openai.chat.completions.create(model=OLD, messages=question("Hello"), n=3)
        assert [choice.index for choice in made.choices] == [0, 1, 2]
        assert len({choice.message.content for choice in made.choices}) == 1
        assert len(running.simulator.calls) == 3


async def test_models_are_the_runtimes_own_list(tmp_path: Path) -> None:
    """The list is live once a process was booted; an alias is found under its name."""
    async with gateway(tmp_path) as running:
        await running.openai.chat.completions.create(model=OLD, messages=question("Hello"))
        listed = [model.id async for model in running.openai.models.list()]
        assert "claude-sonnet-5-5" in listed
        assert (await running.openai.models.retrieve("sonnet")).id
