"""Client keys: their names, their permissions, and their validation."""

import json
from pathlib import Path

import msgspec
import pytest
from scripted import KEY, MESSAGES, clean, replies, served
from starlette.types import Message

from dragoman.config.loading import BadSettings, load
from dragoman.config.secrets import resolve_secrets
from dragoman.core.errors import Unauthenticated
from dragoman.server.access import AccessBook
from dragoman.server.auth import KeyCheck
from dragoman.server.context import RequestContext
from dragoman.stores.access import AccessState, KeyRecord, SecretRecord, hash_of
from dragoman.wiring.checks import check_exposure, check_keys
from dragoman.wiring.gateway import client_keys

_clean = pytest.fixture(autouse=True)(clean)

BODY = {"messages": MESSAGES}
KEYS = {"ann": {"api_key": "key-of-ann"}, "bob": {"api_key": "key-of-bob", "agents": False}}
CHAT = "/v1/chat/completions"


async def test_runs_have_the_name_of_the_key() -> None:
    """The gateway's own key still works, and a wrong key is refused."""
    async with served(replies("Hello"), api_key=KEY, keys=KEYS) as gateway:
        sent = ["key-of-ann", "key-of-bob", KEY, "key-of-eve"]
        responses = [await gateway.http.post(CHAT, json=BODY, headers={"x-api-key": key}) for key in sent]
        assert [response.status_code for response in responses] == [200, 200, 200, 401]
        assert [request.client for request in gateway.backend.requests] == ["ann", "bob", "key"]


async def test_key_without_agents() -> None:
    """Only this key may not start agents. Other keys may."""
    body = {**BODY, "claude": {"mode": "agent"}}
    async with served(replies("Hello"), keys=KEYS) as gateway:
        bob = await gateway.http.post(CHAT, json=body, headers={"x-api-key": "key-of-bob"})
        assert not gateway.backend.requests
        ann = await gateway.http.post(CHAT, json=body, headers={"x-api-key": "key-of-ann"})
    assert (bob.status_code, bob.json()["error"]["code"]) == (403, "agents_not_allowed")
    assert ann.status_code == 200


async def test_client_keys_may_not_use_the_admin_api() -> None:
    """The admin API needs the gateway's own key."""
    async with served(replies("Hello"), api_key=KEY, keys=KEYS) as gateway:
        ann = await gateway.http.get("/admin/runs", headers={"x-api-key": "key-of-ann"})
        owner = await gateway.http.get("/admin/runs", headers={"x-api-key": KEY})
    assert (ann.status_code, ann.json()["error"]["code"]) == (403, "not_operator")
    assert owner.status_code == 200


def test_sources_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By value, variable, file or JSON; never shown. A client key is enough for a public address."""
    (tmp_path / "key").write_text("secret-of-client-number-c\n", encoding="utf-8")
    monkeypatch.setenv("KEY_B", "secret-of-client-number-b")
    tables = [
        {"name": "a", "api_key": "secret-of-client-number-a"},
        {"name": "b", "api_key_env": "KEY_B"},
        {"name": "c", "api_key_file": str(tmp_path / "key")},
    ]
    monkeypatch.setenv("DRAGOMAN_KEYS", json.dumps(tables))
    settings = resolve_secrets(load({"host": "0.0.0.0"}, env_file=None))  # noqa: S104 - what is tried
    check_exposure(settings)
    assert [(one.name, one.key) for one in client_keys(settings)] == [
        (n, f"secret-of-client-number-{n}".encode()) for n in "abc"
    ]
    assert "secret-of" not in repr(settings)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"a": {}}, "key `a`: it has none of"),
        ({"a": {"api_key": "x", "api_key_env": "Y"}}, "api_key and api_key_env are both set"),
        ({"a": {"api_key_env": "NO_SUCH"}}, "api_key_env names NO_SUCH, which is not set"),
        ({"key": {"api_key": "x"}}, "cannot be called `key`"),
        ({"a": {"api_key": "x"}, "b": {"api_key": "x"}}, "the keys `a` and `b` are the same"),
        ({"a": {"api_key": KEY}}, "is the gateway's own"),
        ({"a": "x"}, "write it as a table, [keys.a]"),
    ],
)
def test_invalid_keys(keys: dict[str, object], message: str) -> None:
    """Refused at the start, with the name of the key."""
    with pytest.raises(BadSettings) as caught:
        check_keys(resolve_secrets(load({"api_key": KEY, "keys": keys}, env_file=None)))
    assert message in str(caught.value)


async def _send_nothing(_message: Message) -> None:
    """Fail: the check itself answers nothing."""
    raise AssertionError


class FakeBook(AccessBook):
    """The keys of a store, as a test sets them."""

    def use(self, *keys: KeyRecord) -> None:
        """Replace all keys."""
        self._use(AccessState(version=self.state.version + 1, keys={key.name: key for key in keys}))


def test_a_key_that_was_accepted_is_refused_when_it_expires_or_is_revoked() -> None:
    """What a key may do is remembered, until it expires by itself or any key changes."""
    now = 10.0
    secrets = (
        SecretRecord(sha256=hash_of(b"old"), prefix="old", created=0.0, expires=50.0),
        SecretRecord(sha256=hash_of(b"new"), prefix="new", created=0.0),
    )
    key = KeyRecord(name="ann", expires=100.0, secrets=secrets)
    book = FakeBook()
    book.use(key)
    check = KeyCheck((), frozenset(), "/admin/", agents=True, book=book, clock=lambda: now)

    def refusal_of(secret: bytes) -> str:
        context = RequestContext(
            {"type": "http", "method": "POST", "path": CHAT, "headers": [(b"x-api-key", secret)]}, _send_nothing
        )
        try:
            check(context)
        except Unauthenticated as error:
            return error.message
        assert (context.client, context.authenticated, context.is_operator) == ("ann", True, False)
        return ""

    assert [refusal_of(secret) for secret in (b"old", b"new", b"old", b"new")] == [""] * 4
    now = 50.0
    assert "was replaced" in refusal_of(b"old")
    assert refusal_of(b"new") == ""
    now = 100.0
    assert "has expired" in refusal_of(b"new")
    now = 10.0
    assert refusal_of(b"new") == ""
    book.use(msgspec.structs.replace(key, revoked=9.0))
    assert "was revoked" in refusal_of(b"new")
