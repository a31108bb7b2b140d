"""`--warnings=text` in every dialect: a line in front of the text. The records of runs have warnings in any case."""

from typing import Any

import httpx
import pytest
from chat_support import script
from chat_support import text as block
from corpus_streams import collect_stream
from scripted import clean, emits, served

from dragoman.core.events import Event, Started
from dragoman.core.warnings import RequestWarning

_clean = pytest.fixture(autouse=True)(clean)

WARNING = RequestWarning("resized", "messages", "An image was made smaller.")
LINE = "[dragoman] messages: An image was made smaller.\n\n"
ANSWER: list[Event] = [Started("warm", {}, (WARNING,)), *script([block("Yes.")])]
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Say it"}]},
    "/v1/responses": {"input": "Say it"},
    "/v1/completions": {"prompt": "Say it"},
    "/v1/messages": {"messages": [{"role": "user", "content": "Say it"}], "max_tokens": 100},
}


def text_of(path: str, body: Any) -> str:
    """Return the text of a response."""
    match path:
        case "/v1/chat/completions":
            return str(body["choices"][0]["message"]["content"])
        case "/v1/responses":
            return str(body["output"][0]["content"][0]["text"])
        case "/v1/completions":
            return str(body["choices"][0]["text"])
        case _:
            return str(body["content"][0]["text"])


@pytest.mark.parametrize(("setting", "expected"), [("text", f"{LINE}Yes."), ("header", "Yes.")])
@pytest.mark.parametrize("path", REQUESTS)
async def test_the_line_in_every_dialect(path: str, setting: str, expected: str) -> None:
    """Plain and streamed. Without the setting, the header alone has the warning."""
    body = {"model": "claude-sonnet-4-5", **REQUESTS[path]}
    async with (
        served(emits(ANSWER), warnings=setting) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=300) as http,
    ):
        plain = await gateway.http.post(path, json=body)
        streamed = await http.post(path, json={**body, "stream": True})
    assert '"code":"resized"' in plain.headers["x-dragoman-warnings"]
    assert text_of(path, plain.json()) == expected
    assert text_of(path, collect_stream(path, streamed.text)) == expected


async def test_structured_output_has_no_line() -> None:
    """Clients parse it."""
    answer: list[Event] = [Started("warm", {}, (WARNING,)), *script([block("{}")])]
    body = {**REQUESTS["/v1/chat/completions"], "response_format": {"type": "json_object"}}
    async with served(emits(answer), warnings="text") as gateway:
        response = await gateway.http.post("/v1/chat/completions", json=body)
    assert text_of("/v1/chat/completions", response.json()) == "{}"


async def test_claude_does_not_see_the_line() -> None:
    """A client sends it back with the conversation."""
    history = [{"role": "assistant", "content": f"{LINE}Yes."}, {"role": "user", "content": "And now?"}]
    body = {"messages": [*REQUESTS["/v1/chat/completions"]["messages"], *history]}
    async with served(emits(ANSWER), warnings="text") as gateway:
        await gateway.http.post("/v1/chat/completions", json=body)
    [request] = gateway.backend.requests
    assert request.body["messages"][1]["content"] == [block("Yes.")]


async def test_a_stored_response_continues_without_the_line() -> None:
    """The document has what the client got. Claude gets what it wrote."""
    async with served(emits(ANSWER), warnings="text") as gateway:
        first = (await gateway.http.post("/v1/responses", json={"input": "Say it"})).json()
        await gateway.http.post("/v1/responses", json={"input": "Again", "previous_response_id": first["id"]})
    assert gateway.backend.requests[-1].body["messages"][1]["content"] == [block("Yes.")]


async def test_records_have_the_warnings() -> None:
    """Those of the dialect and those of the backend, with their details."""
    async with served(emits(ANSWER)) as gateway:
        response = await gateway.http.post("/v1/chat/completions", json={**REQUESTS["/v1/chat/completions"], "seed": 1})
        run = (await gateway.http.get(f"/admin/runs/{response.headers['x-dragoman-run-id']}")).json()
    assert [(one["code"], one["param"]) for one in run["warnings"]] == [("ignored", "seed"), ("resized", "messages")]
    assert run["warnings"][1]["detail"] == WARNING.detail
