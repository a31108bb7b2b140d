"""Structured output: a retry for a plain response, an error event in a stream."""

import json
from collections.abc import Sequence
from pathlib import Path
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
BODY: dict[str, Any] = {"messages": MESSAGES, "response_format": FORMAT}
PARIS: JSONObject = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"town": "Paris"}}


def reply_events(words: str) -> Sequence[Event]:
    """Return the events of a reply with this text."""
    return [Started("warm"), *answer([block(words)])]


def parse_warnings(header: str | None) -> list[tuple[str, str]]:
    """Return the code and field of each warning."""
    return [(one["code"], one["param"]) for one in json.loads(header or "[]")]


async def test_mismatch_is_retried_once() -> None:
    """The same request is sent again. The usage is the sum of both, and a warning reports the retry."""
    async with served(emits_in_sequence(reply_events('{"n":0}'), reply_events('{"n":1}'))) as gateway:
        response = await gateway.http.post("/v1/chat/completions", json=BODY)
        metrics_text = await gateway.metrics_text()
    body, headers = response.json(), response.headers
    assert body["choices"][0]["message"]["content"] == '{"n":1}'
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (60, 22)
    assert parse_warnings(headers["x-dragoman-warnings"]) == [("retried", "response_format")]
    first, second = gateway.backend.requests
    assert first.body == second.body
    # The headers describe the run whose reply is returned.
    assert headers["x-dragoman-run-id"] == second.id
    assert body["id"].removeprefix("chatcmpl-") == second.id.removeprefix("run_")
    assert 'dragoman_runs_total{model="claude-sonnet-5-5",path="warm",status="failed"} 1.0' in metrics_text
    assert 'dragoman_runs_total{model="claude-sonnet-5-5",path="warm",status="succeeded"} 1.0' in metrics_text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_retried_response_is_stored_under_its_own_id(tmp_path: Path, path: str) -> None:
    """The client finds the response by the id in it."""
    fields = {
        "/v1/chat/completions": {**BODY, "store": True},
        "/v1/responses": {
            "input": "Say it",
            "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
        },
    }
    script = emits_in_sequence(reply_events("one"), reply_events('{"n":1}'))
    async with served(script, state_dir=tmp_path) as gateway:
        created = (await gateway.http.post(path, json=fields[path])).json()
        stored = await gateway.http.get(f"{path}/{created['id']}")
    assert stored.status_code == 200
    assert stored.json()["id"] == created["id"]


async def test_only_mismatched_choices_are_retried() -> None:
    """One of three choices is retried. The others stay as they are."""
    script = emits_in_sequence(
        reply_events('{"n":3}'), reply_events("three"), reply_events('{"n":5}'), reply_events('{"n":4}')
    )
    async with served(script) as gateway:
        response = (await gateway.http.post("/v1/chat/completions", json={**BODY, "n": 3})).json()
    assert [choice["message"]["content"] for choice in response["choices"]] == ['{"n":3}', '{"n":4}', '{"n":5}']
    assert response["usage"]["completion_tokens"] == 44
    assert len(gateway.backend.requests) == 4


async def test_retry_gets_the_slot_of_the_first_attempt() -> None:
    """Even with one slot and no queue."""
    script = emits_in_sequence(reply_events("one"), reply_events('{"n":1}'))
    async with served(script, max_concurrency=1, max_queue_size=0) as gateway:
        response = await gateway.http.post("/v1/chat/completions", json=BODY)
    assert response.status_code == 200


async def test_second_mismatch_is_an_error() -> None:
    """There is no third attempt. The error is counted."""
    async with served(emits_in_sequence(reply_events("one"), reply_events("one"))) as gateway:
        response = await gateway.http.post("/v1/chat/completions", json=BODY)
        metrics_text = await gateway.metrics_text()
        health = (await gateway.http.get("/health/ready")).json()
    assert response.status_code == 502
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("schema_mismatch", "response_format")
    assert len(gateway.backend.requests) == 2
    assert 'dragoman_runs_total{model="claude-sonnet-5-5",path="warm",status="failed"} 2.0' in metrics_text
    assert 'dragoman_errors_total{code="schema_mismatch",route="/v1/chat/completions"} 1.0' in metrics_text
    assert health["runs"] == {"running": 0, "queued": 0}


async def test_failed_retry() -> None:
    """The error is that of the failed run."""
    once = [emits_in_sequence(reply_events("one")), fails(Overloaded("Busy"), after=[Started("warm")])]
    async with served(in_sequence(*once)) as gateway:
        response = await gateway.http.post("/v1/chat/completions", json=BODY)
    assert response.status_code == 503


async def test_tool_calls_are_not_checked_against_the_format() -> None:
    """The text comes in a later turn. Arguments that do not match the tool's schema are a warning."""
    called = [Started("warm"), *answer([block("I look."), PARIS], "tool_use")]
    async with served(emits_in_sequence(called)) as gateway:
        response = await gateway.http.post("/v1/chat/completions", json={**BODY, "tools": [WEATHER]})
    assert response.json()["choices"][0]["finish_reason"] == "tool_calls"
    where = "choices[0].message.tool_calls[0].function.arguments"
    assert parse_warnings(response.headers["x-dragoman-warnings"]) == [("schema_mismatch", where)]


@pytest.mark.parametrize("last", ['"n":0}', "oops"])
async def test_stream_ends_with_an_error(last: str) -> None:
    """The text has been sent, so there is no retry. The metrics count the run as failed."""
    async with served(emits_in_sequence(reply_events('{"n":1, ' + last))) as gateway:
        response = await gateway.http.post("/v1/chat/completions", json={**BODY, "stream": True})
        metrics_text = await gateway.metrics_text()
    assert response.status_code == 200
    assert chunks(response.content)[-1]["error"]["code"] == "schema_mismatch"
    assert len(gateway.backend.requests) == 1
    assert 'dragoman_runs_total{model="claude-sonnet-5-5",path="warm",status="failed"} 1.0' in metrics_text
    assert 'dragoman_errors_total{code="schema_mismatch",route="/v1/chat/completions"} 1.0' in metrics_text


async def test_mismatched_choice_ends_the_stream() -> None:
    """No event follows the error event."""
    each = [emits_in_sequence(reply_events("one")), hangs(after=opening())]
    async with served(in_sequence(*each)) as gateway:
        response = await gateway.http.post("/v1/chat/completions", json={**BODY, "stream": True, "n": 2})
        await gateway.metrics_text()
        health = (await gateway.http.get("/health/ready")).json()
    assert "error" in chunks(response.content)[-1]
    assert b"[DONE]" not in response.content
    assert health["runs"] == {"running": 0, "queued": 0}
