"""Responses through the Anthropic backend: what reaches the API, and what the backend returns."""

import pytest
from api_harness import api
from backend_harness import MODELS, ask, assistant, message_events, user

from dragoman.core.events import MessageStart, MessageStop, Started
from dragoman.core.messages import RequestOptions
from dragoman.core.value_object import replace
from dragoman.simulator.faults import Fault


async def test_a_run_yields_the_events_of_the_api() -> None:
    """`Started`, then all raw events in order, and none for a ping."""
    async with api() as harness:
        answer = await harness.ask([user("Reply with exactly: PONG")])
        assert (answer.path, answer.text) == ("api", "PONG")
        events = message_events(answer)
        assert [type(answer.events[0]), type(events[0]), type(events[-1])] == [Started, MessageStart, MessageStop]
        assert all(event.raw["type"] != "ping" for event in events)
        assert answer.accumulated.message["stop_reason"] == "end_turn"


async def test_the_body_arrives_unchanged() -> None:
    """Only `stream` is added, and `max_tokens` if it is missing."""
    fields: dict[str, object] = {
        "temperature": 0.25,
        "stop_sequences": ["END"],
        "system": [{"type": "text", "text": "Brief."}],
    }
    messages = [user("One"), assistant("Two"), user("Three")]
    async with api() as harness:
        await harness.ask(messages, "claude-sonnet-4-5", **fields)
        [call] = harness.calls
        expected = {"model": "claude-sonnet-4-5", "messages": messages, "stream": True, "max_tokens": 32_000, **fields}
        assert call.body == expected
        assert call.headers["anthropic-version"] == "2023-06-01"
        assert call.headers["x-api-key"] == "sk-ant-dummy"
        assert call.headers["accept-encoding"] == "identity"
        assert "anthropic-beta" not in call.headers


@pytest.mark.parametrize("model", MODELS)
async def test_max_tokens_of_the_client_is_kept(model: str) -> None:
    """Every model accepts the default."""
    async with api() as harness:
        await harness.ask([user("One")], model, max_tokens=77)
        await harness.ask([user("One")], model)
        first, second = (call.body["max_tokens"] for call in harness.calls)
        assert first == 77
        assert isinstance(second, int)
        assert second > 24_576


async def test_connections_are_reused() -> None:
    """Two runs, one after the other, use one connection."""
    async with api() as harness:
        await harness.ask([user("One")])
        await harness.ask([user("Two")])
        assert len(harness.calls) == 2
        assert harness.connections == {"busy": 0, "idle": 1}


async def test_a_clients_version_and_betas_are_passed_on() -> None:
    """A client of the Messages API names them itself. From 2026-10-21 on, the key is a bearer token."""
    async with api() as harness:
        request_options = RequestOptions(version="2026-10-21", betas=("a-1", "b-2"), verbatim=True)
        await ask(
            harness.backend, replace(harness.request([user("One")], max_tokens=9), request_options=request_options)
        )
        headers = harness.calls[0].headers
        assert headers["anthropic-version"] == "2026-10-21"
        assert headers["anthropic-beta"] == "a-1,b-2"
        assert headers["authorization"] == "Bearer sk-ant-dummy"
        assert "x-api-key" not in headers


async def test_a_header_of_a_client_stays_one_line() -> None:
    """A line end in a beta's name does not start another header."""
    async with api() as harness:
        request_options = RequestOptions(betas=("a-1\r\nx-evil: 1",))
        await ask(harness.backend, replace(harness.request([user("One")]), request_options=request_options))
        assert "x-evil" not in harness.calls[0].headers


async def test_a_feature_adds_its_beta() -> None:
    """The API serves the feature only with its beta."""
    async with api() as harness:
        await harness.ask([user("One")], context_management={"edits": []})
        assert harness.calls[0].headers["anthropic-beta"] == "context-management-2025-06-27"


async def test_models_are_those_of_the_account() -> None:
    """The list has all of them, with their names and the API's entries."""
    async with api() as harness:
        models = await harness.backend.models()
        assert "claude-opus-5-5" in {model.id for model in models}
        assert all(model.name for model in models)
        assert all(model.entry["capabilities"] for model in models)


async def test_tokens_are_counted_by_the_api() -> None:
    """The model is not called."""
    async with api() as harness:
        counted = await harness.backend.count_tokens(harness.request([user("One")]))
        assert counted["input_tokens"]
        assert harness.calls == []


async def test_the_status_contains_no_key() -> None:
    """It has the authentication, the version and the connections."""
    async with api() as harness:
        status = harness.backend.status()
        assert "dummy" not in str(status)
        assert status["authentication"] == "api_key"
        assert harness.backend.ready() is None


async def test_max_tokens_cuts_the_response() -> None:
    """The stop reason is the API's."""
    async with api() as harness:
        harness.simulator.inject(Fault(stop_reason="max_tokens", after=2))
        answer = await harness.ask([user("Count to 9")])
        assert answer.accumulated.message["stop_reason"] == "max_tokens"
