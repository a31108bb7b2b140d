"""Clients with keys of their own: who they are, what each may do, and which account answers them."""

import json
from pathlib import Path

import pytest
from scripted import KEY, MESSAGES, clean, replies, served

from dragoman.config.loading import BadSettings, load
from dragoman.config.secrets import resolve_secrets
from dragoman.wiring.checks import check_exposure, check_keys
from dragoman.wiring.gateway import client_keys

_clean = pytest.fixture(autouse=True)(clean)

BODY = {"messages": MESSAGES}
KEYS = {"ann": {"api_key": "key-of-ann"}, "bob": {"api_key": "key-of-bob", "agents": False}}
CHAT = "/v1/chat/completions"


async def test_each_key_is_a_client() -> None:
    """Runs bear its name; the gateway's one key stays, and a wrong one is refused."""
    async with served(replies("Hello"), api_key=KEY, keys=KEYS) as gateway:
        sent = ["key-of-ann", "key-of-bob", KEY, "key-of-eve"]
        answers = [await gateway.http.post(CHAT, json=BODY, headers={"x-api-key": key}) for key in sent]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 401]
        assert [request.client for request in gateway.backend.requests] == ["ann", "bob", "key"]


async def test_a_key_may_be_barred_from_agents() -> None:
    """By itself, and nobody else with it: with the other one the backend is asked."""
    body = {**BODY, "claude": {"mode": "agent"}}
    async with served(replies("Hello"), keys=KEYS) as gateway:
        bob = await gateway.http.post(CHAT, json=body, headers={"x-api-key": "key-of-bob"})
        assert not gateway.backend.requests
        ann = await gateway.http.post(CHAT, json=body, headers={"x-api-key": "key-of-ann"})
    assert (bob.status_code, bob.json()["error"]["code"]) == (403, "agents_not_allowed")
    assert ann.status_code == 200


async def test_clients_do_not_operate() -> None:
    """Everybody's runs are for the gateway's own key."""
    async with served(replies("Hello"), api_key=KEY, keys=KEYS) as gateway:
        ann = await gateway.http.get("/admin/runs", headers={"x-api-key": "key-of-ann"})
        owner = await gateway.http.get("/admin/runs", headers={"x-api-key": KEY})
    assert (ann.status_code, ann.json()["error"]["code"]) == (403, "not_operator")
    assert owner.status_code == 200


def test_keys_come_by_value_variable_file_or_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And are never shown; on an address that others reach they are keys like the one."""
    (tmp_path / "key").write_text("secret-c\n", encoding="utf-8")
    monkeypatch.setenv("KEY_B", "secret-b")
    tables = [
        {"name": "a", "api_key": "secret-a"},
        {"name": "b", "api_key_env": "KEY_B"},
        {"name": "c", "api_key_file": str(tmp_path / "key")},
    ]
    monkeypatch.setenv("DRAGOMAN_KEYS", json.dumps(tables))
    settings = resolve_secrets(load({"host": "0.0.0.0"}, env_file=None))  # noqa: S104 - what is tried
    check_exposure(settings)
    assert [(one.name, one.key) for one in client_keys(settings)] == [(n, f"secret-{n}".encode()) for n in "abc"]
    assert "secret-" not in repr(settings)


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
def test_what_makes_no_sense_is_refused_by_name(keys: dict[str, object], message: str) -> None:
    """Before anything runs."""
    with pytest.raises(BadSettings) as caught:
        check_keys(resolve_secrets(load({"api_key": KEY, "keys": keys}, env_file=None)))
    assert message in str(caught.value)
