"""The paths and headers that clients really send."""

import asyncio
from urllib.parse import quote

import httpx
import pytest
from scripted import KEY, MESSAGES, clean, replies, served

from dragoman.server.paths import KnownPath, has_control_character, known_path

_clean = pytest.fixture(autouse=True)(clean)

BODY = {"messages": MESSAGES, "model": "sonnet"}


@pytest.mark.parametrize(
    ("sent", "path", "deployment"),
    [
        ("/v1/chat/completions", "/v1/chat/completions", None),
        ("/chat/completions", "/chat/completions", None),
        ("/chat/completions/", "/chat/completions", None),
        ("/v1/chat/completions/", "/v1/chat/completions", None),
        ("/v1/v1/chat/completions", "/v1/chat/completions", None),
        ("//v1//chat/completions//", "/v1/chat/completions", None),
        ("/api/v1/messages", "/v1/messages", None),
        ("/v1/api/responses", "/v1/responses", None),
        ("/openai/v1/responses/resp_1/cancel", "/v1/responses/resp_1/cancel", None),
        ("/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens", None),
        ("/v1/models/", "/v1/models", None),
        ("/v1/models/anthropic/claude", "/v1/models/anthropic/claude", None),
        ("/openai/deployments/gpt-4o/chat/completions", "/v1/chat/completions", "gpt-4o"),
        ("/openai/deployments/a/b/embeddings", "/v1/embeddings", "a/b"),
        ("/v1/openai/deployments/x/completions/", "/v1/completions", "x"),
        ("/openai/deployments/x/images", "/openai/deployments/x/images", None),
        ("/health/", "/health", None),
        ("//admin/status", "/admin/status", None),
        ("/v1/admin/status", "/v1/admin/status", None),
        ("/api/chat", "/v1/chat", None),
        ("/", "/", None),
        ("//", "/", None),
        ("/v1", "/v1", None),
    ],
)
def test_known_paths(sent: str, path: str, deployment: str | None) -> None:
    """Slashes and the prefixes of other providers do not matter. Only paths with versions have prefixes."""
    assert known_path(sent) == KnownPath(path, deployment)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions/",
        "/v1/v1/chat/completions",
        "//v1/chat/completions",
        "/api/v1/chat/completions",
        "/openai/v1/chat/completions",
        "/v1/chat/completions?api-version=2024-10-21",
    ],
)
async def test_paths_in_other_forms_are_served(path: str) -> None:
    """Without a redirect, which many clients do not follow with a body."""
    async with served(replies("Hello")) as gateway:
        response = await gateway.http.post(f"{gateway.url}{path}", json=BODY)
        assert response.status_code == 200, response.text
        metrics = await gateway.metrics_text()
    assert 'route="/v1/chat/completions",status="200"} 1.0' in metrics


@pytest.mark.parametrize("model", ["claude-opus-4-5", "anthropic/claude-opus-4.5"])
async def test_azures_paths_name_the_model(model: str) -> None:
    """It counts, whatever the body says. `api-key` is the key."""
    path = f"/openai/deployments/{quote(model, safe='')}/chat/completions?api-version=2024-10-21"
    async with served(replies("Hello"), api_key=KEY) as gateway:
        response = await gateway.http.post(path, json=BODY, headers={"api-key": KEY})
        assert response.status_code == 200, response.text
        assert response.json()["model"] == "claude-opus-4-5"
        without = await gateway.http.post(path, json={"messages": MESSAGES}, headers={"api-key": KEY})
        assert without.json()["model"] == "claude-opus-4-5"
        broken = await gateway.http.post(path, content=b"{", headers={"api-key": KEY})
        assert broken.json()["error"]["code"] == "invalid_json"
        wrong = await gateway.http.post(path, json=BODY, headers={"api-key": "wrong"})
        assert wrong.status_code == 401


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions%0a", "/v1/chat/completions%0d%0a", "/v1/models%0a", "/health%0A"]
)
async def test_paths_with_control_characters_are_unknown(path: str) -> None:
    """A pattern that overlooks a line break would let a request past the rules for its path."""
    method = "POST" if "chat" in path else "GET"
    async with served(replies("Hello"), api_key=KEY) as gateway:
        response = await gateway.http.request(method, path, headers={"x-api-key": KEY}, content=b"{}")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_url"


def test_control_characters() -> None:
    """Line breaks of every kind; other signs are allowed."""
    assert all(has_control_character(f"/a{sign}") for sign in "\n\r\0\x7f\x85\u2028")
    assert not has_control_character("/v1/models/ümläut sign")


async def test_the_operators_paths_stay_guarded_in_every_form() -> None:
    """A doubled slash is no way around the check of the key."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        for path in ("//admin/status", "/admin//status/", "/admin/status"):
            response = await gateway.http.get(f"{gateway.url}{path}")
            assert response.status_code == 401


async def test_several_host_headers_are_refused() -> None:
    """A proxy in front may have read another one than the gateway."""
    async with served(replies("Hello")) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(gateway.url).port)
        writer.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\nhost: evil.test\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"invalid_host" in answer


async def test_betas_of_all_lines_and_of_the_body_are_joined() -> None:
    """Each once, in order; the body's field is not passed on, because the API refuses it."""
    body = {"model": "sonnet", "max_tokens": 10, "messages": MESSAGES, "betas": ["c", "a"], "anthropic_beta": ["d"]}
    headers = [("anthropic-beta", "a, b"), ("anthropic-version", "2023-06-01"), ("anthropic-beta", "c,,")]
    async with served(replies("Hello")) as gateway:
        response = await gateway.http.post("/v1/messages", json=body, headers=headers)
        assert response.status_code == 200, response.text
        [request] = gateway.backend.requests
        wrong = await gateway.http.post("/v1/messages", json={**body, "betas": [1]}, headers=headers)
    assert request.request_options.betas == ("a", "b", "c", "d")
    assert not {"betas", "anthropic_beta"} & request.body.keys()
    assert wrong.json()["error"]["details"]["param"] == "betas[0]"
