"""The middleware: errors that no handler answered, log levels, and the time limit of runs."""

import httpx
import pytest
from scripted import clean, hangs, replies, served
from starlette.types import Message, Receive, Scope, Send

from dragoman.core.deferred import DeferredCalls
from dragoman.dialects.shared.errors import openai_error_response
from dragoman.server.context import RequestContext
from dragoman.server.middleware import Middleware
from log_lines import log_lines

_clean = pytest.fixture(autouse=True)(clean)


async def failing_app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - an app that fails
    """Fail before or in an answer."""
    if scope["path"] == "/late":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": False})
    raise RuntimeError("/secret/path")


async def test_unexpected_error() -> None:
    """The client gets the request's id and no internals. The log has the error."""
    observed: list[RequestContext] = []
    deferred = DeferredCalls()
    middleware = Middleware(
        failing_app, (), (observed.append,), lambda error, _: openai_error_response(error), deferred=deferred
    )
    transport = httpx.ASGITransport(middleware)
    with log_lines() as log:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            early = await http.get("/early", headers={"x-request-id": "mine"})
            late = await http.get("/late")
    assert early.status_code == 500
    assert "mine" in early.json()["error"]["message"]
    assert "secret" not in early.text
    assert (late.status_code, late.text) == (200, "x")
    deferred.flush()
    assert [context.status for context in observed] == [500, 200]
    assert [str(line["exc_info"]) for line in log] == ["/secret/path"] * 2


async def test_other_protocols() -> None:
    """Other protocols get no response, and raise no error."""

    async def receive() -> Message:
        raise AssertionError

    async def send(_message: Message) -> None:
        raise AssertionError

    await Middleware(failing_app, (), (), lambda error, _: openai_error_response(error))(
        {"type": "lifespan"}, receive, send
    )


async def test_trace_level() -> None:
    """At `trace` every event of a response is logged; at `debug`, none."""
    events = {}
    for level in ("trace", "debug"):
        with log_lines() as log:
            async with served(replies("Hello"), log_level=level) as gateway:
                await gateway.http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "x"}]})
        events[level] = [line["event"] for line in log]
    assert events["trace"].count("run.event") == 7
    assert "run.event" not in events["debug"]
    assert "request.understood" in events["debug"]


async def test_run_time_limit() -> None:
    """A run that exceeds the limit ends with a timeout error."""
    async with served(hangs(), run_timeout=0.05) as gateway:
        response = await gateway.http.post(
            "/v1/chat/completions", json={"messages": [{"role": "user", "content": "x"}]}
        )
    assert (response.status_code, response.json()["error"]["code"]) == (504, "timeout")
