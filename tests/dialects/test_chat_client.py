"""Chat responses, read by OpenAI's own client: its types, stream reader, accumulator and exceptions."""

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


def _client(respond: Callable[[bytes], httpx.Response]) -> openai.OpenAI:
    """Return a client whose transport calls our dialect."""
    transport = httpx.MockTransport(lambda request: respond(request.read()))
    http = httpx.Client(transport=transport)
    return openai.OpenAI(base_url="http://gateway.test/v1", api_key="k", max_retries=0, http_client=http)


def _responding(blocks: Sequence[JSONObject], stop_reason: str = "end_turn") -> openai.OpenAI:
    """Return a client of a gateway whose model responds with these blocks."""
    ours = dialect()

    def respond(body: bytes) -> httpx.Response:
        request = ours.decode(body)
        events = script(blocks, stop_reason)
        if request.stream:
            kind, content = "text/event-stream", streamed(request, *[events] * request.choices)
        else:
            kind, content = "application/json", ours.encode(request, IDENTITY, [accumulate(events)] * request.choices)
        return httpx.Response(200, content=content, headers={"content-type": kind})

    return _client(respond)


def _failing(error: GatewayError) -> openai.OpenAI:
    reply = dialect().encode_error(error)
    return _client(lambda _: httpx.Response(reply.status, content=reply.body))


@pytest.mark.parametrize("case", ANSWERS)
def test_the_clients_accumulator_rebuilds_the_plain_response(case: str) -> None:
    """Message and finish reason are equal, key for key."""
    blocks, stop_reason = ANSWERS[case]
    client = _responding(blocks, stop_reason)
    fields: Any = {"model": "sonnet", "messages": PING, "tools": [WEATHER]}
    plain = client.chat.completions.create(**fields)
    with client.chat.completions.stream(**fields, stream_options={"include_usage": True}) as stream:
        try:
            for _ in stream:
                pass
        except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
            pass  # the accumulator raises on these after it has read everything
        snapshot: ChatCompletion = stream.current_completion_snapshot
    expected, actual = plain.choices[0], snapshot.choices[0]
    streamed_message = _normalized(actual.message.to_dict(mode="json"))
    assert streamed_message == _normalized(expected.message.to_dict(mode="json"))
    assert actual.finish_reason == expected.finish_reason


def _normalized(message: Any) -> Any:
    """Remove stream indexes and what the accumulator adds: parsed forms and empty lists."""
    message = {key: part for key, part in message.items() if part not in (None, [])}
    message.pop("parsed", None)
    for annotation in message.get("annotations", []):
        annotation.pop("index", None)
    for call in message.get("tool_calls", []):
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    return message


def test_streamed_usage_equals_plain_usage() -> None:
    """As the client reads both."""
    client = _responding(*ANSWERS["thought"])
    plain = client.chat.completions.create(model="sonnet", messages=PING)
    last = list(
        client.chat.completions.create(
            model="sonnet", messages=PING, stream=True, stream_options={"include_usage": True}
        )
    )[-1]
    assert last.choices == []
    assert last.usage == plain.usage
    assert plain.usage
    assert plain.usage.completion_tokens_details
    assert plain.usage.completion_tokens_details.reasoning_tokens == 4


def test_a_pydantic_model_is_parsed() -> None:
    """With the client's structured output."""

    class Person(BaseModel):
        name: str
        age: int

    client = _responding([text('{"name": "Ann", "age": 41}')])
    parsed = client.chat.completions.parse(model="sonnet", messages=PING, response_format=Person)
    assert parsed.choices[0].message.parsed == Person(name="Ann", age=41)


def test_a_tool_round_trip() -> None:
    """The client sends back the message object that it received."""
    client = _responding([text("I look."), PARIS], "tool_use")
    tools: Any = [WEATHER]
    message = client.chat.completions.create(model="sonnet", messages=PING, tools=tools).choices[0].message
    assert message.tool_calls
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "21"}
    again: Any = [*PING, message, result]
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
    """After the chunks before it."""
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


def test_the_clients_requests_cause_no_warnings() -> None:
    """Parts, images, tools and parameters, as the client serializes them."""
    seen: list[bytes] = []

    def respond(body: bytes) -> httpx.Response:
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
    _client(respond).chat.completions.create(
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
