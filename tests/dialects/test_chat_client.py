"""The official client as the judge: its types, its stream reader, its accumulator, its exceptions."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx2 as httpx  # what the client itself speaks through
import openai
import pytest
from chat_answers import ANSWERS, PARIS
from chat_support import IDENTITY, PNG, WEATHER, dialect, raw, script, streamed, text
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from dragoman.core.accumulate import accumulate
from dragoman.core.errors import GatewayError, NotFound, Overloaded, RateLimited
from dragoman.core.messages import JSON, JSONObject

PING: Any = [{"role": "user", "content": "ping"}]


def _client(answer: Callable[[bytes], httpx.Response]) -> openai.OpenAI:
    """The client, with our codec at the other end of its transport."""
    transport = httpx.MockTransport(lambda request: answer(request.read()))
    http = httpx.Client(transport=transport)
    return openai.OpenAI(base_url="http://gateway.test/v1", api_key="k", max_retries=0, http_client=http)


def _answering(blocks: Sequence[JSONObject], stop_reason: str = "end_turn") -> openai.OpenAI:
    """A client of a gateway whose model says just this."""
    ours = dialect()

    def answer(body: bytes) -> httpx.Response:
        request = ours.decode(body)
        events = script(blocks, stop_reason)
        if request.stream:
            kind, content = "text/event-stream", streamed(request, *[events] * request.choices)
        else:
            kind, content = "application/json", ours.encode(request, IDENTITY, [accumulate(events)] * request.choices)
        return httpx.Response(200, content=content, headers={"content-type": kind})

    return _client(answer)


def _failing(error: GatewayError) -> openai.OpenAI:
    reply = dialect().encode_error(error)
    return _client(lambda _: httpx.Response(reply.status, content=reply.body))


@pytest.mark.parametrize("case", ANSWERS)
def test_the_clients_own_accumulator_makes_the_plain_answer_of_the_stream(case: str) -> None:
    """Message, reason and usage are equal, key for key."""
    blocks, stop_reason = ANSWERS[case]
    client = _answering(blocks, stop_reason)
    fields: Any = {"model": "sonnet", "messages": PING, "tools": [WEATHER]}
    whole = client.chat.completions.create(**fields)
    with client.chat.completions.stream(**fields, stream_options={"include_usage": True}) as stream:
        try:
            for _ in stream:
                pass
        except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
            pass  # the accumulator raises by itself on these; what it has read stands
        snapshot: ChatCompletion = stream.current_completion_snapshot
    one, other = whole.choices[0], snapshot.choices[0]
    streamed_message = _normal(other.message.to_dict(mode="json"))
    assert streamed_message == _normal(one.message.to_dict(mode="json"))
    assert other.finish_reason == one.finish_reason


def _normal(message: Any) -> Any:
    """Without the indexes of the stream, and what the accumulator adds: parsed forms, and lists that hold nothing."""
    message = {key: part for key, part in message.items() if part not in (None, [])}
    message.pop("parsed", None)
    for note in message.get("annotations", []):
        note.pop("index", None)
    for call in message.get("tool_calls", []):
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    return message


def test_usage_in_the_stream_is_the_plain_usage() -> None:
    """As the client reads both."""
    client = _answering(*ANSWERS["thought"])
    whole = client.chat.completions.create(model="sonnet", messages=PING)
    last = list(
        client.chat.completions.create(
            model="sonnet", messages=PING, stream=True, stream_options={"include_usage": True}
        )
    )[-1]
    assert last.choices == []
    assert last.usage == whole.usage
    assert whole.usage
    assert whole.usage.completion_tokens_details
    assert whole.usage.completion_tokens_details.reasoning_tokens == 4


def test_a_pydantic_model_is_parsed() -> None:
    """The client's structured output."""

    class Person(BaseModel):
        name: str
        age: int

    client = _answering([text('{"name": "Ann", "age": 41}')])
    made = client.chat.completions.parse(model="sonnet", messages=PING, response_format=Person)
    assert made.choices[0].message.parsed == Person(name="Ann", age=41)


def test_a_tool_round_trip() -> None:
    """The client sends back the message object that it got."""
    client = _answering([text("I look."), PARIS], "tool_use")
    tools: Any = [WEATHER]
    asked = client.chat.completions.create(model="sonnet", messages=PING, tools=tools).choices[0].message
    assert asked.tool_calls
    result = {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "21"}
    again: Any = [*PING, asked, result]
    assert client.chat.completions.create(model="sonnet", messages=again, tools=tools).choices


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (NotFound("No.", code="model_not_found", param="model"), openai.NotFoundError),
        (RateLimited("Later."), openai.RateLimitError),
        (Overloaded("Later."), openai.InternalServerError),
    ],
)
def test_errors_raise_the_clients_exceptions(error: GatewayError, raised: type[openai.APIStatusError]) -> None:
    """With message, code and field."""
    with pytest.raises(raised) as caught:
        _failing(error).chat.completions.create(model="sonnet", messages=PING)
    assert (caught.value.code, caught.value.param) == (error.code, error.param)
    assert error.message in caught.value.message


def test_an_error_in_the_stream_raises() -> None:
    """After what came before it."""
    ours = dialect()
    stream = ours.encode_stream(ours.decode(raw(stream=True)), IDENTITY)
    content = b"".join(stream.feed(event) for event in script([text("abc")])[:3])
    content += stream.heartbeat + stream.fail(Overloaded("Claude is overloaded."))
    client = _client(lambda _: httpx.Response(200, content=content, headers={"content-type": "text/event-stream"}))
    seen = []
    with pytest.raises(openai.APIError, match="Claude is overloaded") as caught:  # noqa: PT012 - the loop raises
        for chunk in client.chat.completions.create(model="sonnet", messages=PING, stream=True):
            seen.append(chunk.choices[0].delta.content)  # noqa: PERF401 - what was seen must outlive the error
    assert seen == [None, "abc"]
    assert caught.value.code == "overloaded"


def test_what_the_client_sends_is_understood_without_a_warning() -> None:
    """Parts, images, tools and the rest, as it serialises them."""
    seen: list[bytes] = []

    def take(body: bytes) -> httpx.Response:
        seen.append(body)
        ours = dialect()
        request = ours.decode(body)
        return httpx.Response(200, content=ours.encode(request, IDENTITY, [accumulate(script([text("a")]))]))

    image: JSON = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "auto"}}
    messages: Any = [
        {"role": "developer", "content": [{"type": "text", "text": "Be terse."}]},
        {"role": "user", "content": [{"type": "text", "text": "See."}, image]},
    ]
    tools: Any = [WEATHER]
    _client(take).chat.completions.create(
        model="claude-sonnet-4-5",
        messages=messages,
        tools=tools,
        tool_choice="auto",
        parallel_tool_calls=True,
        max_completion_tokens=64,
        temperature=0,
        stop=["END"],
        frequency_penalty=0,
        logit_bias={},
        user="someone",
        store=False,
        service_tier="auto",
        n=1,
    )
    assert dialect().decode(seen[0]).warnings == ()
