"""The response cache: what gets a response that was made before, what never does, and requests that are joined."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from scripted import (
    Served,
    clean,
    emits,
    emits_in_sequence,
    ending,
    fails,
    in_sequence,
    opening,
    pauses,
    replies,
    served,
    text,
)

from dragoman.core import errors
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, Event

_clean = pytest.fixture(autouse=True)(clean)

ON: dict[str, Any] = {"response_cache": "1h", "thinking_ttl": 0}
BODIES: Mapping[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "sonnet", "messages": [{"role": "user", "content": "Say it"}]},
    "/v1/messages": {"model": "sonnet", "max_tokens": 50, "messages": [{"role": "user", "content": "Say it"}]},
    "/v1/responses": {"model": "sonnet", "input": "Say it", "store": False},
}
CHAT = "/v1/chat/completions"


async def post(gateway: Served, path: str = CHAT, headers: Mapping[str, str] | None = None, **fields: Any) -> Any:
    """Send a request, and return its response."""
    return await gateway.http.post(path, json=BODIES[path] | fields, headers=headers)


def outcomes(*answers: Any) -> list[str | None]:
    """Return what the cache did for each response."""
    return [answer.headers.get("x-dragoman-cache") for answer in answers]


@pytest.mark.parametrize("path", list(BODIES))
async def test_the_same_request_is_a_hit(path: str) -> None:
    """Plain after plain, streamed after plain, plain after streamed. A hit has an id of its own and costs nothing."""
    async with served(in_sequence(replies("Hello"), replies("Hallo")), **ON) as gateway:
        first = await post(gateway, path)
        again = await post(gateway, path)
        streamed = await post(gateway, path, stream=True)
        other = await post(gateway, path, stream=True, model="haiku")
        plain = await post(gateway, path, model="haiku")
        runs = (await gateway.http.get("/admin/runs")).json()["runs"]
        metrics = (await gateway.http.get("/metrics")).text
    assert outcomes(first, again, streamed, other, plain) == ["miss", "hit", "hit", "miss", "hit"]
    assert [
        ("Hallo" if index > 2 else "Hello") in answer.text
        for index, answer in enumerate((first, again, streamed, other, plain))
    ] == [True] * 5
    assert first.json()["usage"] == again.json()["usage"]
    assert (again.headers["age"], "age" in first.headers) == ("0", False)
    assert again.headers["x-dragoman-run-id"] == first.headers["x-dragoman-run-id"]
    assert len(runs) == len(gateway.backend.requests) == 2
    assert 'dragoman_cache_requests_total{result="hit"} 3.0' in metrics
    counts = [line.split()[-1] for line in metrics.splitlines() if line.startswith("dragoman_runs_total")]
    assert counts == ["1.0", "1.0"]
    if path != "/v1/messages":  # there it is Claude's own
        assert first.json()["id"] != again.json()["id"]


async def test_dialects_share_responses() -> None:
    """The canonical request decides, not the form in which it came. Labels of the client do not."""
    async with served(replies("Hello"), **ON) as gateway:
        one = await post(gateway, CHAT, max_tokens=50)
        two = await post(gateway, CHAT, max_completion_tokens=50, user="ann")
    assert outcomes(one, two) == ["miss", "hit"]


@pytest.mark.parametrize(
    "change",
    [
        {"model": "opus"},
        {"messages": [{"role": "user", "content": "say it"}]},
        {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "Say it"}]},
        {"temperature": 0.2},
        {"max_tokens": 9},
        {"stop": ["x"]},
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
    ],
)
async def test_any_difference_is_a_miss(change: dict[str, Any]) -> None:
    """Of model, system prompt, messages, tools, sampling and format."""
    async with served(replies('{"a": 1}'), **ON) as gateway:
        first = await post(gateway, model="claude-sonnet-4-6")  # it takes a temperature
        assert outcomes(first, await post(gateway, **{"model": "claude-sonnet-4-6"} | change)) == ["miss", "miss"]


async def test_choices_are_cached_apart() -> None:
    """Three choices stay three responses; one choice gets the first of them."""
    async with served(in_sequence(*(replies(word) for word in ("a", "b", "c"))), **ON) as gateway:
        three, one, again = await post(gateway, n=3), await post(gateway), await post(gateway, n=3)
    texts = [sorted(choice["message"]["content"] for choice in answer.json()["choices"]) for answer in (three, again)]
    assert outcomes(three, one, again) == ["miss", "hit", "hit"]
    assert texts == [["a", "b", "c"]] * 2


async def test_simultaneous_requests_share_one_run() -> None:
    """Streams of those that join begin with what was sent before, and continue live. One that leaves ends nothing."""
    proceed = asyncio.Event()
    async with served(pauses(proceed), **ON) as gateway, asyncio.TaskGroup() as group:
        body = BODIES[CHAT] | {"stream": True}
        async with gateway.http.stream("POST", CHAT, json=body) as first:
            lines = first.aiter_lines()
            while "Hel" not in await anext(lines):
                pass
            async with gateway.http.stream("POST", CHAT, json=body) as second:
                later = second.aiter_lines()
                while "Hel" not in await anext(later):
                    pass
                await first.aclose()  # the one that began it
                joined = group.create_task(post(gateway))
                while 'result="joined"} 2.0' not in (await gateway.http.get("/metrics")).text:
                    pass
                proceed.set()
                rest = "".join([line async for line in later])
        plain = await joined
        hit = await post(gateway)
        runs = (await gateway.http.get("/admin/runs")).json()["runs"]
    assert "lo" in rest
    assert "[DONE]" in rest
    assert plain.json()["choices"][0]["message"]["content"] == "Hello"
    assert outcomes(plain, hit) == ["hit", "hit"]
    assert [run["status"] for run in runs] == ["succeeded"]


async def test_a_run_without_clients_ends() -> None:
    """When all that follow it have left, and the next request calls Claude again."""
    proceed = asyncio.Event()
    async with served(in_sequence(pauses(proceed), replies("Hello")), **ON) as gateway:
        async with gateway.http.stream("POST", CHAT, json=BODIES[CHAT] | {"stream": True}) as stream:
            await anext(stream.aiter_lines())
        await gateway.backend.ended.wait()
        assert outcomes(await post(gateway)) == ["miss"]
        runs = (await gateway.http.get("/admin/runs")).json()["runs"]
    assert [run["status"] for run in runs] == ["succeeded", "cancelled"]


async def test_cache_control_is_honoured() -> None:
    """`no-store` passes the cache by; `no-cache` calls Claude and is cached; `max-age` bounds the age."""
    async with served(in_sequence(*(replies(str(number)) for number in range(4))), **ON) as gateway:
        no_store = [await post(gateway, headers={"cache-control": "no-store"}) for _ in range(2)]
        first = await post(gateway)
        anew = await post(gateway, headers={"cache-control": "no-cache"})
        hit = await post(gateway, headers={"cache-control": "max-age=60"})
    assert outcomes(*no_store, first, anew, hit) == ["bypass", "bypass", "miss", "miss", "hit"]
    assert hit.json()["choices"][0]["message"]["content"] == "3"


async def test_clients_share_only_if_the_operator_wants_it(tmp_path: Path) -> None:
    """By default each key has its own responses."""
    keys = {"a": {"api_key": "secret-a"}, "b": {"api_key": "secret-b"}}
    for shared, expected in ((False, ["miss", "miss", "hit"]), (True, ["miss", "hit", "hit"])):
        script = in_sequence(replies("for a"), replies("for b"))
        options: dict[str, Any] = {"keys": keys, "response_cache_shared": shared, "state_dir": tmp_path}
        async with served(script, **ON, **options) as gateway:
            answers = [await post(gateway, headers={"x-api-key": f"secret-{name}"}) for name in "abb"]
        assert outcomes(*answers) == expected


async def test_what_failed_was_refused_or_was_cut_is_not_cached() -> None:
    """The next request calls Claude again."""
    broken = fails(errors.UpstreamFailed("Broken"), after=[*opening(), text("Hel")])
    reasons = ("max_tokens", "refusal", "model_context_window_exceeded")
    scripts = [broken, *(emits([*opening(), text("Hel"), *ending(reason)]) for reason in reasons), replies("Hello")]
    async with served(in_sequence(*scripts), **ON) as gateway:
        answers = [await post(gateway) for _ in range(len(scripts) + 1)]
    assert outcomes(*answers) == ["miss"] * len(scripts) + ["hit"]
    assert [answer.status_code for answer in answers] == [502, *[200] * len(scripts)]


async def test_a_web_search_is_never_cached() -> None:
    """Neither its request nor a response that contains one. Tools that the client runs are."""
    search: Any = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    events: list[Event] = [
        *opening(),
        text("Hello"),
        BlockStop(0, {"type": "content_block_stop", "index": 0}),
        BlockStart(1, {"type": "content_block_start", "index": 1, "content_block": search}),
        BlockStop(1, {"type": "content_block_stop", "index": 1}),
        *ending()[1:],
    ]
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    async with served(emits_in_sequence(*[events] * 4), **ON) as gateway:
        requested = [await post(gateway, "/v1/messages", tools=tools) for _ in range(2)]
        answered = [await post(gateway, "/v1/messages") for _ in range(2)]
    assert outcomes(*requested, *answered) == ["bypass", "bypass", "miss", "miss"]


async def test_tool_calls_keep_their_arguments() -> None:
    """As Claude wrote them, in the plain and in the streamed hit."""
    call: Any = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    delta: Any = {"type": "input_json_delta", "partial_json": '{"a":  1}'}
    events: list[Event] = [
        *opening()[:2],
        BlockStart(0, {"type": "content_block_start", "index": 0, "content_block": call}),
        BlockDelta(0, {"type": "content_block_delta", "index": 0, "delta": delta}),
        *ending("tool_use"),
    ]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    async with served(emits(events), **ON) as gateway:
        first, again = [await post(gateway, tools=tools) for _ in range(2)]
        streamed = await post(gateway, tools=tools, stream=True)
    assert outcomes(first, again, streamed) == ["miss", "hit", "hit"]
    assert first.json()["choices"] == again.json()["choices"]
    assert again.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":  1}'
    assert '{\\"a\\":  1}' in streamed.text


async def test_an_image_by_url_and_a_background_response_pass_by() -> None:
    """The image behind a URL may change; no client waits for a background response."""
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    async with served(replies("Hello"), **ON) as gateway:
        messages = [{"role": "user", "content": [image]}]
        images = [await post(gateway, messages=messages) for _ in range(2)]
        background = await gateway.http.post("/v1/responses", json={"input": "Say it", "background": True})
    assert outcomes(*images, background) == ["bypass"] * 3


async def test_hits_of_stored_responses_are_stored_apart(tmp_path: Path) -> None:
    """Each can be read, continued and deleted by itself."""
    async with served(replies("Hello"), **ON, state_dir=tmp_path) as gateway:
        answers = [await post(gateway, "/v1/responses", store=True) for _ in range(2)]
        first, again = (answer.json()["id"] for answer in answers)
        await gateway.http.delete(f"/v1/responses/{first}")
        read = await gateway.http.get(f"/v1/responses/{again}")
    assert outcomes(*answers) == ["miss", "hit"]
    assert first != again
    assert read.json()["output"][0]["content"][0]["text"] == "Hello"


async def test_an_invalid_response_is_not_cached() -> None:
    """One that does not match its schema: it is asked again, and so is the next request."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    scripts = [replies('{"a": "x"}'), replies('{"a": 1}'), replies('{"a": 2}')]
    async with served(in_sequence(*scripts), **ON) as gateway:
        answers = [await post(gateway, response_format=form) for _ in range(3)]
    assert outcomes(*answers) == ["miss", "miss", "hit"]
    assert [answer.json()["choices"][0]["message"]["content"] for answer in answers] == [
        '{"a": 1}',
        '{"a": 2}',
        '{"a": 2}',
    ]


async def test_it_is_off_by_default() -> None:
    """No header, no metric, and each request is asked."""
    async with served(replies("Hello")) as gateway:
        answers = [await post(gateway) for _ in range(2)]
        assert len(gateway.backend.requests) == 2
        assert "dragoman_cache_requests" not in (await gateway.http.get("/metrics")).text
    assert outcomes(*answers) == [None, None]
