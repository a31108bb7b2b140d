"""The door itself: what nothing inside has answered."""

import httpx
import pytest
import structlog
from scripted import clean, hangs, replies, served
from starlette.types import Message, Receive, Scope, Send

from dragoman.dialects.shared.errors import openai_error_response
from dragoman.server.context import RequestContext
from dragoman.server.middleware import Middleware

_clean = pytest.fixture(autouse=True)(clean)


async def breaks(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - an app that fails
    """Fail before or in an answer."""
    if scope["path"] == "/late":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": False})
    raise RuntimeError("/secret/path")


async def test_unexpected_failure() -> None:
    """The client gets the request's id and nothing of the inside; the log gets all."""
    seen: list[RequestContext] = []
    front = Middleware(breaks, (), (seen.append,), lambda error, _: openai_error_response(error))
    transport = httpx.ASGITransport(front)
    with structlog.testing.capture_logs() as log:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            early = await http.get("/early", headers={"x-request-id": "mine"})
            late = await http.get("/late")
    assert early.status_code == 500
    assert "mine" in early.json()["error"]["message"]
    assert "secret" not in early.text
    assert (late.status_code, late.text) == (200, "x")
    assert [context.status for context in seen] == [500, 200]
    assert [str(line["exc_info"]) for line in log] == ["/secret/path"] * 2


async def test_nothing_but_http() -> None:
    """Other protocols get no answer, and no error either."""

    async def receive() -> Message:
        raise AssertionError

    async def send(_message: Message) -> None:
        raise AssertionError

    await Middleware(breaks, (), (), lambda error, _: openai_error_response(error))({"type": "lifespan"}, receive, send)


async def test_trace() -> None:
    """At trace every event of an answer is logged; below it, none."""
    events = {}
    for level in ("trace", "debug"):
        with structlog.testing.capture_logs() as log:
            async with served(replies("Hello"), log_level=level) as gateway:
                await gateway.http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "x"}]})
        events[level] = [line["event"] for line in log]
    assert events["trace"].count("run.event") == 7
    assert "run.event" not in events["debug"]
    assert "request.understood" in events["debug"]


async def test_run_time_limit() -> None:
    """A run that takes too long is ended, and its client told."""
    async with served(hangs(), run_timeout=0.05) as gateway:
        answer = await gateway.http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "x"}]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
