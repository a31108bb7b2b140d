"""The reason of a cache miss, from a client's second turn to what the operator sees."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateways import TIMEOUT, api_gateway, gateway

EXPLAIN = {"x-dragoman-explain-cache": "1"}
LONG = "word " * 4000


def turns(*texts: str, system: str = LONG) -> dict[str, Any]:
    """Return a chat request: a system prompt, and messages of the user and the assistant by turns."""
    roles = ("user", "assistant")
    messages = [{"role": roles[index % 2], "content": text} for index, text in enumerate(texts)]
    return {"model": "claude-opus-5-5", "messages": [{"role": "system", "content": system}, *messages]}


async def explained(http: httpx.AsyncClient, body: dict[str, Any], path: str = "/v1/chat/completions") -> Any:
    """Send a request, and return what its header says about the cache."""
    response = await http.post(path, json=body, headers=EXPLAIN)
    assert response.status_code == 200, response.text
    return json.loads(response.headers["x-dragoman-cache-miss"])


@pytest.mark.parametrize("streamed", [False, True])
async def test_reasons_in_the_header(tmp_path: Path, *, streamed: bool) -> None:
    """The header has the reason, for a stream too. Without the client's wish there is no header."""
    stream = {"stream": True} if streamed else {}
    async with api_gateway(tmp_path) as (_, url), httpx.AsyncClient(base_url=url, timeout=TIMEOUT) as http:
        first = await explained(http, turns("One") | stream)
        second = await explained(http, turns("One", "1", "Two") | stream)
        changed = await explained(http, turns("One", "1", "Two", "2", "Three", system="Now " + LONG) | stream)
        earlier = await explained(http, turns("One", "one", "Two", "2", "Three", system="Now " + LONG) | stream)
        plain = await http.post("/v1/chat/completions", json=turns("Other") | stream)
    assert (first["reason"], first["read"], first["expected"]) == ("first_turn", 0, None)
    assert second["reason"] is None
    assert second["read"] >= second["expected"] > 4000
    assert (changed["reason"], changed["part"], changed["read"]) == ("system", "system[0]", 0)
    assert (earlier["reason"], earlier["part"]) == ("message", "messages[1]")
    assert "x-dragoman-cache-miss" not in plain.headers


@pytest.mark.parametrize("streamed", [False, True])
async def test_reasons_in_the_metrics(tmp_path: Path, *, streamed: bool) -> None:
    """Each miss is counted once, whether its client asked for the reason or not."""
    async with api_gateway(tmp_path) as (_, url), httpx.AsyncClient(base_url=url, timeout=TIMEOUT) as http:
        for system in (LONG, "Now " + LONG, "Then " + LONG):
            await http.post("/v1/chat/completions", json=turns("One", system=system) | {"stream": streamed})
        metrics = (await http.get("/metrics")).text
    assert 'dragoman_cache_misses_total{reason="first_turn"} 1.0' in metrics
    assert 'dragoman_cache_misses_total{reason="system"} 2.0' in metrics


async def test_client_of_the_messages_api(tmp_path: Path) -> None:
    """A client that sets its own cache marks learns that they are at the wrong place. The operator sees it, too."""
    mark = {"cache_control": {"type": "ephemeral"}}

    def body(*, system: dict[str, Any], **last: object) -> dict[str, Any]:
        return {
            "model": "claude-opus-5-5",
            "max_tokens": 50,
            "system": [{"type": "text", "text": LONG, **system}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "One", **last}]}],
        }

    async with api_gateway(tmp_path) as (_, url), httpx.AsyncClient(base_url=url, timeout=TIMEOUT) as http:
        await explained(http, body(system={}, **mark), "/v1/messages")
        found = await explained(http, body(system=mark), "/v1/messages")
        [run, _] = (await http.get("/admin/runs")).json()["runs"]
    assert (found["reason"], found["part"]) == ("mark", "cache_control")
    assert run["cache"] == found | {"detail": run["cache"]["detail"]}
    assert "20 blocks" in run["cache"]["detail"]


async def test_runtime(tmp_path: Path) -> None:
    """With the runtime, which sets the marks itself, a changed system prompt is found as well."""
    async with gateway(tmp_path) as running:
        for system in (LONG, "Now " + LONG):
            response = await running.http.post("/chat/completions", json=turns("One", system=system), headers=EXPLAIN)
            assert response.status_code == 200, response.text
    found = json.loads(response.headers["x-dragoman-cache-miss"])
    assert (found["reason"], found["part"]) == ("system", "system[0]")
