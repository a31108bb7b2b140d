"""Who may come in: keys, hosts, origins, sizes; and what strangers are told."""

import asyncio
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from pages import ROOT, read
from scripted import KEY, MESSAGES, clean, replies, served

from dragoman.config.loading import BadSettings, load
from dragoman.server.middleware import hostname, is_loopback
from dragoman.wiring.checks import check_exposure
from dragoman.wiring.gateway import build

_clean = pytest.fixture(autouse=True)(clean)

BODY = {"messages": MESSAGES}
PAGES = ["/", "/health", "/docs", "/redoc", "/openapi.json"]
KEYED = ["/v1/models", "/models", "/v1/models/sonnet", "/metrics"]
APP = "https://app.example.com"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {KEY}"},
        {"Authorization": KEY},
        {"x-api-key": KEY},
        {"Authorization": "Bearer something-else", "x-api-key": KEY},
    ],
)
async def test_each_form_of_the_right_key(headers: dict[str, str]) -> None:
    """Clients send keys in three ways."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        answer = await gateway.http.post("/v1/chat/completions", json=BODY, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {KEY}"},
        {"x-api-key": KEY + "x"},
        {"x-api-key": "schlüssel".encode()},
    ],
)
async def test_each_form_of_a_wrong_key(headers: dict[str, str]) -> None:
    """Without the right key nothing runs, and the answer is the one that the client knows."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        answer = await gateway.http.post("/v1/chat/completions", json=BODY, headers=headers)
        assert not gateway.backend.requests
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    said = answer.json()["error"]
    assert (said["type"], said["code"]) == ("authentication_error", "invalid_api_key")
    assert KEY not in answer.text


async def test_open_and_keyed_paths() -> None:
    """Pages that hold no secret are open; the rest wants the key."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        opened = [(await gateway.http.get(path)).status_code for path in PAGES]
        closed = [(await gateway.http.get(path)).status_code for path in KEYED]
        with_key = [(await gateway.http.get(path, headers={"x-api-key": KEY})).status_code for path in KEYED]
    assert opened == [200] * len(PAGES)
    assert closed == [401] * len(KEYED)
    assert with_key == [200] * len(KEYED)


async def test_open_models() -> None:
    """The owner may open the list of models, and nothing else."""
    async with served(replies("Hello"), api_key=KEY, open_models=True) as gateway:
        assert (await gateway.http.get("/v1/models")).status_code == 200
        assert (await gateway.http.get("/models")).status_code == 200
        assert (await gateway.http.post("/v1/chat/completions", json=BODY)).status_code == 401


async def test_readiness_tells_more_with_the_key() -> None:
    """Strangers learn only whether it is ready."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        gateway.backend.not_ready_reason = "Sign in first"
        stranger = await gateway.http.get("/health/ready")
        owner = await gateway.http.get("/health/ready", headers={"x-api-key": KEY})
    assert stranger.status_code == 503
    assert stranger.json() == {"status": "not_ready"}
    assert owner.json()["reason"] == "Sign in first"
    assert owner.json()["backend"]["processes"] == {"spare": 2, "live": 1, "all": 3}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8787", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8787", 200),
        ("gw.example.com", 200),
        ("a.wild.example.com:80", 200),
        ("wild.example.com", 403),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
async def test_host_names(host: str, status: int) -> None:
    """A page that rebinds its own name to this machine is refused, also for a GET."""
    async with served(replies("Hello"), allow_host=("gw.example.com", "*.wild.example.com")) as gateway:
        answer = await gateway.http.get("/v1/models", headers={"Host": host})
    assert answer.status_code == status
    if status == 403:
        said = answer.json()["error"]
        assert (said["type"], said["code"]) == ("permission_error", "host_not_allowed")
        assert "--allow-host" in said["message"]


async def test_any_host() -> None:
    """Behind a proxy that checks names itself, any may be allowed."""
    async with served(replies("Hello"), allow_host=("*",), api_key=KEY) as gateway:
        assert (await gateway.http.get("/health", headers={"Host": "anything.example"})).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": APP}, 200),
        ({"Origin": APP.upper()}, 200),
        ({"Origin": "http://{host}"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "app://{host}"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": APP, "Sec-Fetch-Site": "cross-site"}, 200),
    ],
)
async def test_origins(headers: dict[str, str], status: int) -> None:
    """Pages of foreign origins may not ask; programs, the gateway's own pages and allowed origins may."""
    async with served(replies("Hello"), allow_origin=(APP,)) as gateway:
        host = gateway.url.removeprefix("http://")
        sent = {name: value.format(host=host) for name, value in headers.items()}
        answer = await gateway.http.post("/v1/chat/completions", json=BODY, headers=sent)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"]["code"] == "origin_not_allowed"
    allowed = answer.headers.get("access-control-allow-origin")
    assert allowed == (sent["Origin"] if sent.get("Origin", "").lower() == APP else None)


NAVIGATION = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/docs", NAVIGATION, 200),
        ("GET", "/", NAVIGATION, 200),
        ("GET", "/docs", {**NAVIGATION, "Sec-Fetch-Mode": "no-cors"}, 403),
        ("GET", "/docs", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 403),
        ("GET", "/docs", {**NAVIGATION, "Sec-Fetch-Dest": "iframe"}, 403),
        ("GET", "/docs", {**NAVIGATION, "Origin": "https://evil.example"}, 403),
        ("GET", "/v1/models", NAVIGATION, 403),
        ("GET", "/admin/runs", NAVIGATION, 403),
        ("POST", "/docs", NAVIGATION, 403),
        ("POST", "/v1/chat/completions", NAVIGATION, 403),
    ],
)
async def test_link_from_another_site_opens_public_pages_only(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """A navigation in a window of its own may open a public page. Every other request from another site is refused."""
    async with served(replies("Hello")) as gateway:
        response = await gateway.http.request(method, path, headers=headers)
        assert not gateway.backend.requests
    assert response.status_code == status
    assert status == 200 or response.json()["error"]["code"] == "origin_not_allowed"


async def test_preflight() -> None:
    """A browser's question is answered for allowed origins only, without a key."""
    async with served(replies("Hello"), allow_origin=(APP,), api_key=KEY) as gateway:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-extra"}
        allowed = await gateway.http.options("/v1/chat/completions", headers={"Origin": APP, **asked})
        foreign = await gateway.http.options(
            "/v1/chat/completions", headers={"Origin": "https://evil.example", **asked}
        )
        denied = await gateway.http.post("/v1/chat/completions", json=BODY, headers={"Origin": APP})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-headers"] == "authorization,x-extra"
    assert foreign.status_code == 403
    assert "access-control-allow-origin" not in foreign.headers
    # The page must be able to read why it was refused.
    assert (denied.status_code, denied.headers["access-control-allow-origin"]) == (401, APP)


async def test_headers_that_pages_can_read() -> None:
    """Every header of an answer that the page on connecting tells of; a browser hides the others."""
    section = read(ROOT / "docs" / "connect.md").partition("## Headers of a response")[2]
    told = re.findall(r"^\| `([a-z-]+)`", section, re.MULTILINE)
    async with served(replies("Hello"), allow_origin=(APP,)) as gateway:
        answer = await gateway.http.get("/health", headers={"Origin": APP})
    assert "retry-after" in told
    assert set(told) <= set(answer.headers["access-control-expose-headers"].split(", "))


@pytest.mark.parametrize("chunked", [False, True])
async def test_size_limit(*, chunked: bool) -> None:
    """A body over the limit is refused, also when it does not say how long it is; one at the limit is not."""
    good = json.dumps(BODY).encode()

    async def parts(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10):
            yield body[start : start + 10]

    async with served(replies("Hello"), max_request_bytes=len(good)) as gateway:
        fits = await gateway.http.post("/v1/chat/completions", content=parts(good) if chunked else good)
        over = good + b" "
        refused = await gateway.http.post("/v1/chat/completions", content=parts(over) if chunked else over)
    assert fits.status_code == 200
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "request_too_large"


async def test_client_gone_in_its_own_request() -> None:
    """A client that leaves before its question is whole costs nothing."""
    async with served(replies("Hello")) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rsplit(":", 1)[1]))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        while 'status="499"' not in (await gateway.http.get("/metrics")).text:
            pass
        assert not gateway.backend.requests


async def test_bad_json() -> None:
    """What is no JSON is said to be none."""
    async with served(replies("Hello")) as gateway:
        answer = await gateway.http.post("/v1/chat/completions", content=b"{")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


async def test_unknown_path_and_method() -> None:
    """Both are errors in the form that clients know."""
    async with served(replies("Hello")) as gateway:
        path = await gateway.http.get("/v1/nothing")
        method = await gateway.http.get("/v1/embeddings")
    assert (path.status_code, path.json()["error"]["code"]) == (404, "unknown_url")
    assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_allowed")
    assert method.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("sent", "kept"), [("trace-42:a.b_c", True), ("two words", False), ("x" * 129, False), ("", False)]
)
async def test_request_id(sent: str, *, kept: bool) -> None:
    """A sane id of the client's own is kept; anything else gets one of ours."""
    async with served(replies("Hello")) as gateway:
        answer = await gateway.http.get("/health", headers={"x-request-id": sent})
    assert (answer.headers["x-request-id"] == sent) is kept
    assert kept or answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"host": "0.0.0.0"}, "--api-key"),  # noqa: S104 - refused
        ({"host": "::"}, "--api-key"),
        ({"host": "box.local"}, "--api-key"),
        ({"host": "10.0.0.1", "api_key": KEY, "signed_in": True}, "--allow-remote-signed-in"),
        ({"allow_origin": "*"}, "--api-key"),
        ({"allow_host": "*"}, "--api-key"),
    ],
)
async def test_unsafe_settings_are_refused(given: dict[str, object], named: str) -> None:
    """What would give strangers the use of the owner's account does not start, and says what to type."""
    with pytest.raises(BadSettings, match=named):
        async with build(load(given, env_file=None)):
            pass


@pytest.mark.parametrize(
    "given",
    [
        {"host": "127.0.0.2"},
        {"host": "::1"},
        {"host": "localhost", "signed_in": True},
        {"host": "0.0.0.0", "api_key": KEY},  # noqa: S104 - with a key
        {"host": "0.0.0.0", "api_key": KEY, "signed_in": True, "allow_remote_signed_in": True},  # noqa: S104 - the same
    ],
)
def test_safe_settings_pass(given: dict[str, object]) -> None:
    """Loopback needs nothing; other addresses a key, and a sign-in its owner's word."""
    check_exposure(load(given, env_file=None))


async def test_unknown_models_in_the_settings() -> None:
    """A list of models that cannot be served does not start."""
    with pytest.raises(BadSettings, match="--models"):
        async with build(load({"models": "gpt-9"}, env_file=None)):
            pass


def test_host_helpers() -> None:
    """Names are cut from what stands in the header."""
    assert [hostname(name) for name in ("A:1", "[::1]:1", "[::1]", "b")] == ["a", "::1", "::1", "b"]
    assert not is_loopback("example.com")


async def test_bound_address_is_a_valid_host() -> None:
    """Listening on all addresses, the one that the client came by is ours."""
    async with served(replies("Hello")) as gateway, httpx.AsyncClient() as http:
        answer = await http.get(f"{gateway.url}/health")
    assert answer.status_code == 200
