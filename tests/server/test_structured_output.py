"""Structured output through the server: one more try for a plain answer, an error event in a stream."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from chat_support import WEATHER, chunks
from chat_support import script as answer
from chat_support import text as block
from scripted import MESSAGES, clean, emits_in_sequence, fails, hangs, in_sequence, opening, served

from dragoman.core.errors import Overloaded
from dragoman.core.events import Event, Started
from dragoman.core.messages import JSONObject

_clean = pytest.fixture(autouse=True)(clean)

SCHEMA: JSONObject = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
FORMAT: JSONObject = {"type": "json_schema", "json_schema": {"name": "count", "schema": SCHEMA, "strict": True}}
ASKED: dict[str, Any] = {"messages": MESSAGES, "response_format": FORMAT}
PARIS: JSONObject = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"town": "Paris"}}


def says(words: str) -> Sequence[Event]:
    """The events of an answer in words."""
    return [Started("warm"), *answer([block(words)])]


def warnings(header: str | None) -> list[tuple[str, str]]:
    """The code and field of each warning."""
    return [(one["code"], one["param"]) for one in json.loads(header or "[]")]


async def test_a_misfit_is_asked_for_once_more() -> None:
    """With the same request; both attempts are in the usage, and a warning says so."""
    async with served(emits_in_sequence(says('{"n":0}'), says('{"n":1}'))) as gateway:
        made = await gateway.http.post("/v1/chat/completions", json=ASKED)
        metrics_text = await gateway.metrics_text()
    body, headers = made.json(), made.headers
    assert body["choices"][0]["message"]["content"] == '{"n":1}'
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (60, 22)
    assert warnings(headers["x-dragoman-warnings"]) == [("retried", "response_format")]
    first, second = gateway.backend.requests
    assert first.body == second.body
    # The answer is told of by the run that gave it.
    assert headers["x-dragoman-run-id"] == second.id
    assert body["id"].removeprefix("chatcmpl-") == second.id.removeprefix("run_")
    assert 'dragoman_runs_total{model="claude-sonnet-5-5",path="warm",status="failed"} 1.0' in metrics_text
    assert 'dragoman_runs_total{model="claude-sonnet-5-5",path="warm",status="succeeded"} 1.0' in metrics_text


async def test_only_the_misfits_are_asked_for_once_more() -> None:
    """Of three choices one; the others stay as they are."""
    script = emits_in_sequence(says('{"n":3}'), says("three"), says('{"n":5}'), says('{"n":4}'))
    async with served(script) as gateway:
        made = (await gateway.http.post("/v1/chat/completions", json={**ASKED, "n": 3})).json()
    assert [choice["message"]["content"] for choice in made["choices"]] == ['{"n":3}', '{"n":4}', '{"n":5}']
    assert made["usage"]["completion_tokens"] == 44
    assert len(gateway.backend.requests) == 4


async def test_the_second_try_finds_the_place_of_the_first() -> None:
    """Also where there is one place and no queue."""
    script = emits_in_sequence(says("one"), says('{"n":1}'))
    async with served(script, max_concurrency=1, max_queue_size=0) as gateway:
        made = await gateway.http.post("/v1/chat/completions", json=ASKED)
    assert made.status_code == 200


async def test_a_second_misfit_is_an_error() -> None:
    """And counted as one; there is no third try."""
    async with served(emits_in_sequence(says("one"), says("one"))) as gateway:
        made = await gateway.http.post("/v1/chat/completions", json=ASKED)
        metrics_text = await gateway.metrics_text()
        health = (await gateway.http.get("/health/ready")).json()
    assert made.status_code == 502
    error = made.json()["error"]
    assert (error["code"], error["param"]) == ("schema_mismatch", "response_format")
    assert len(gateway.backend.requests) == 2
    assert 'dragoman_runs_total{model="claude-sonnet-5-5",path="warm",status="failed"} 2.0' in metrics_text
    assert 'dragoman_errors_total{code="schema_mismatch",route="/v1/chat/completions"} 1.0' in metrics_text
    assert health["runs"] == {"running": 0, "queued": 0}


async def test_a_second_try_that_fails_says_why() -> None:
    """The failure of the run, which is the nearer cause."""
    once = [emits_in_sequence(says("one")), fails(Overloaded("Busy"), after=[Started("warm")])]
    async with served(in_sequence(*once)) as gateway:
        made = await gateway.http.post("/v1/chat/completions", json=ASKED)
    assert made.status_code == 503


async def test_calls_are_not_held_to_the_format() -> None:
    """The text comes in a later turn; arguments that do not fit the tool's schema are a warning."""
    called = [Started("warm"), *answer([block("I look."), PARIS], "tool_use")]
    async with served(emits_in_sequence(called)) as gateway:
        made = await gateway.http.post("/v1/chat/completions", json={**ASKED, "tools": [WEATHER]})
    assert made.json()["choices"][0]["finish_reason"] == "tool_calls"
    where = "choices[0].message.tool_calls[0].function.arguments"
    assert warnings(made.headers["x-dragoman-warnings"]) == [("schema_mismatch", where)]


@pytest.mark.parametrize("last", ['"n":0}', "oops"])
async def test_a_stream_ends_as_an_error(last: str) -> None:
    """What was said has been said; the log and the metrics know that the run failed."""
    async with served(emits_in_sequence(says('{"n":1, ' + last))) as gateway:
        made = await gateway.http.post("/v1/chat/completions", json={**ASKED, "stream": True})
        metrics_text = await gateway.metrics_text()
    assert made.status_code == 200
    assert chunks(made.content)[-1]["error"]["code"] == "schema_mismatch"
    assert len(gateway.backend.requests) == 1
    assert 'dragoman_runs_total{model="claude-sonnet-5-5",path="warm",status="failed"} 1.0' in metrics_text
    assert 'dragoman_errors_total{code="schema_mismatch",route="/v1/chat/completions"} 1.0' in metrics_text


async def test_a_faulty_choice_ends_the_stream_of_all() -> None:
    """Nothing goes on behind an error event."""
    each = [emits_in_sequence(says("one")), hangs(after=opening())]
    async with served(in_sequence(*each)) as gateway:
        made = await gateway.http.post("/v1/chat/completions", json={**ASKED, "stream": True, "n": 2})
        await gateway.metrics_text()
        health = (await gateway.http.get("/health/ready")).json()
    assert "error" in chunks(made.content)[-1]
    assert b"[DONE]" not in made.content
    assert health["runs"] == {"running": 0, "queued": 0}
