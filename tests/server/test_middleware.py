"""The checks in front of every handler: keys, hosts, origins, body sizes; and the errors of unknown paths."""

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
from dragoman.wiring.checks import check_exposure, check_settings
from dragoman.wiring.gateway import build

_clean = pytest.fixture(autouse=True)(clean)

BODY = {"messages": MESSAGES}
PUBLIC_PATHS = ["/", "/health", "/docs", "/redoc", "/openapi.json"]
PROTECTED_PATHS = ["/v1/models", "/models", "/v1/models/sonnet", "/metrics"]
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
async def test_right_key(headers: dict[str, str]) -> None:
    """A key is accepted in each of its forms."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        response = await gateway.http.post("/v1/chat/completions", json=BODY, headers=headers)
    assert response.status_code == 200


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
async def test_wrong_key(headers: dict[str, str]) -> None:
    """Without the right key no run starts, and the error is the one that clients know."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        response = await gateway.http.post("/v1/chat/completions", json=BODY, headers=headers)
        assert not gateway.backend.requests
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert KEY not in response.text


async def test_public_and_protected_paths() -> None:
    """Pages without secrets are public. All other paths need the key."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        public = [(await gateway.http.get(path)).status_code for path in PUBLIC_PATHS]
        without_key = [(await gateway.http.get(path)).status_code for path in PROTECTED_PATHS]
        with_key = [(await gateway.http.get(path, headers={"x-api-key": KEY})).status_code for path in PROTECTED_PATHS]
    assert public == [200] * len(PUBLIC_PATHS)
    assert without_key == [401] * len(PROTECTED_PATHS)
    assert with_key == [200] * len(PROTECTED_PATHS)


async def test_open_models() -> None:
    """The operator may make the list of models public, and nothing else."""
    async with served(replies("Hello"), api_key=KEY, open_models=True) as gateway:
        assert (await gateway.http.get("/v1/models")).status_code == 200
        assert (await gateway.http.get("/models")).status_code == 200
        assert (await gateway.http.post("/v1/chat/completions", json=BODY)).status_code == 401


async def test_readiness_details_need_the_key() -> None:
    """Without the key the response has only the status."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        gateway.backend.not_ready_reason = "Sign in first"
        stranger = await gateway.http.get("/health/ready")
        owner = await gateway.http.get("/health/ready", headers={"x-api-key": KEY})
    assert stranger.status_code == 503
    assert stranger.json() == {"status": "not_ready"}
    assert owner.json()["reason"] == "Sign in first"
    assert owner.json()["backend"]["processes"] == {"spare": 2, "live": 1, "all": 3}


async def test_failed_tasks_are_reported_while_requests_are_answered() -> None:
    """With the key; they are restarted, so the gateway stays ready."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        before = await gateway.http.get("/health/ready", headers={"x-api-key": KEY})
        gateway.backend.task_failures = {"process-guard": "The shell ended."}
        stranger = await gateway.http.get("/health/ready")
        owner = await gateway.http.get("/health/ready", headers={"x-api-key": KEY})
    assert before.json()["failures"] == {}
    assert stranger.json() == {"status": "ready"}
    assert (owner.status_code, owner.json()["reason"]) == (200, None)
    assert owner.json()["failures"] == {"process-guard": "The shell ended."}


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
        response = await gateway.http.get("/v1/models", headers={"Host": host})
    assert response.status_code == status
    if status == 403:
        error = response.json()["error"]
        assert (error["type"], error["code"]) == ("permission_error", "host_not_allowed")
        assert "--allow-host" in error["message"]


async def test_any_host() -> None:
    """`*` allows any host name, for a proxy that checks names itself."""
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
    """Pages of other origins are refused. Programs, own pages and allowed origins are accepted."""
    async with served(replies("Hello"), allow_origin=(APP,)) as gateway:
        host = gateway.url.removeprefix("http://")
        sent = {name: value.format(host=host) for name, value in headers.items()}
        response = await gateway.http.post("/v1/chat/completions", json=BODY, headers=sent)
    assert response.status_code == status
    if status == 403:
        assert response.json()["error"]["code"] == "origin_not_allowed"
    allowed = response.headers.get("access-control-allow-origin")
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
    """A preflight is answered for allowed origins only, without a key."""
    async with served(replies("Hello"), allow_origin=(APP,), api_key=KEY) as gateway:
        preflight_headers = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,x-extra",
        }
        allowed = await gateway.http.options("/v1/chat/completions", headers={"Origin": APP, **preflight_headers})
        foreign = await gateway.http.options(
            "/v1/chat/completions", headers={"Origin": "https://evil.example", **preflight_headers}
        )
        denied = await gateway.http.post("/v1/chat/completions", json=BODY, headers={"Origin": APP})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-headers"] == "authorization,x-extra"
    assert foreign.status_code == 403
    assert "access-control-allow-origin" not in foreign.headers
    # The page must be able to read why it was refused.
    assert (denied.status_code, denied.headers["access-control-allow-origin"]) == (401, APP)


async def test_exposed_headers() -> None:
    """Pages can read every response header that docs/connect.md lists."""
    section = read(ROOT / "docs" / "connect.md").partition("## Headers of a response")[2]
    listed = re.findall(r"^\| `([a-z-]+)`", section, re.MULTILINE)
    async with served(replies("Hello"), allow_origin=(APP,)) as gateway:
        response = await gateway.http.get("/health", headers={"Origin": APP})
    assert "retry-after" in listed
    assert set(listed) <= set(response.headers["access-control-expose-headers"].split(", "))


@pytest.mark.parametrize("chunked", [False, True])
async def test_size_limit(*, chunked: bool) -> None:
    """A body over the limit is refused, with and without a content length. A body at the limit is accepted."""
    valid = json.dumps(BODY).encode()

    async def parts(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10):
            yield body[start : start + 10]

    async with served(replies("Hello"), max_request_bytes=len(valid)) as gateway:
        accepted = await gateway.http.post("/v1/chat/completions", content=parts(valid) if chunked else valid)
        too_large = valid + b" "
        refused = await gateway.http.post("/v1/chat/completions", content=parts(too_large) if chunked else too_large)
    assert accepted.status_code == 200
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "request_too_large"


async def test_disconnect_during_the_request_body() -> None:
    """If the client disconnects before the end of its body, no run starts."""
    async with served(replies("Hello")) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rsplit(":", 1)[1]))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        while 'status="499"' not in (await gateway.http.get("/metrics")).text:
            pass
        assert not gateway.backend.requests


async def test_invalid_json() -> None:
    """A body that is not JSON is an error."""
    async with served(replies("Hello")) as gateway:
        response = await gateway.http.post("/v1/chat/completions", content=b"{")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_json")


async def test_unknown_path_and_method() -> None:
    """Both are errors in OpenAI's form."""
    async with served(replies("Hello")) as gateway:
        path = await gateway.http.get("/v1/nothing")
        method = await gateway.http.get("/v1/embeddings")
    assert (path.status_code, path.json()["error"]["code"]) == (404, "unknown_url")
    assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_allowed")
    assert method.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("sent", "accepted"), [("trace-42:a.b_c", True), ("two words", False), ("x" * 129, False), ("", False)]
)
async def test_request_id(sent: str, *, accepted: bool) -> None:
    """A valid id of the client is used. Otherwise the gateway generates one."""
    async with served(replies("Hello")) as gateway:
        response = await gateway.http.get("/health", headers={"x-request-id": sent})
    assert (response.headers["x-request-id"] == sent) is accepted
    assert accepted or response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"host": "0.0.0.0"}, "--api-key"),  # noqa: S104 - refused
        ({"host": "::"}, "--api-key"),
        ({"host": "box.local"}, "--api-key"),
        ({"host": "10.0.0.1", "api_key": KEY, "signed_in": True}, "--allow-remote-signed-in"),
        ({"host": "10.0.0.1", "api_key": "none"}, "has 4 characters"),
        ({"host": "10.0.0.1", "api_key": 2 * KEY, "keys": {"a": {"api_key": "k" * 19}}}, "`a` has 19 characters"),
        ({"allow_origin": "*"}, "--api-key"),
        ({"allow_host": "*"}, "--api-key"),
    ],
)
async def test_unsafe_settings_are_refused(given: dict[str, object], setting: str) -> None:
    """Settings that give strangers access do not start. The error names the missing setting."""
    with pytest.raises(BadSettings, match=setting):
        async with build(load(given, env_file=None)):
            pass


@pytest.mark.parametrize(
    "given",
    [
        {"host": "127.0.0.2"},
        {"host": "::1"},
        {"host": "localhost", "signed_in": True},
        {"host": "0.0.0.0", "api_key": 2 * KEY},  # noqa: S104 - with a key
        {"host": "0.0.0.0", "api_key": 2 * KEY, "signed_in": True, "allow_remote_signed_in": True},  # noqa: S104 - the same
    ],
)
def test_safe_settings_pass(given: dict[str, object]) -> None:
    """Loopback needs no key. Other addresses need one, and a sign-in needs a further setting."""
    check_exposure(load(given, env_file=None))


async def test_unknown_models_in_the_settings() -> None:
    """An unknown model in `--models` or as an alias's target is a settings error, with similar names."""
    with pytest.raises(BadSettings, match=r"model_aliases .* Did you mean `claude-sonnet"):
        check_settings(load({"model_aliases": "fast=claud-sonnet"}, env_file=None))
    check_settings(load({"model_aliases": "fast=haiku,next=claude-newest-9"}, env_file=None))
    with pytest.raises(BadSettings, match="--models"):
        async with build(load({"models": "gpt-9"}, env_file=None)):
            pass


def test_host_helpers() -> None:
    """The host name is parsed from the header."""
    assert [hostname(name) for name in ("A:1", "[::1]:1", "[::1]", "b")] == ["a", "::1", "::1", "b"]
    assert not is_loopback("example.com")


async def test_bound_address_is_a_valid_host() -> None:
    """The address by which the client connected is a valid host."""
    async with served(replies("Hello")) as gateway, httpx.AsyncClient(timeout=300) as http:
        response = await http.get(f"{gateway.url}/health")
    assert response.status_code == 200
