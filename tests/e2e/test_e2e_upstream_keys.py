"""Client keys with several upstreams: the key selects the upstream and the models."""

from pathlib import Path

from upstream_gateways import upstreams

PONG = "Reply with exactly: PONG"
ONE: dict[str, object] = {"name": "one"}
TWO: dict[str, object] = {"name": "two"}


async def test_client_key_selects_the_upstream(tmp_path: Path) -> None:
    """For responses and token counts; a key without an upstream is refused by name."""
    keys = {name: {"api_key": f"key-of-{name}"} for name in ("ann", "bob", "eve")}
    tables = ({**ONE, "keys": ["ann"]}, {**TWO, "keys": "bob"})
    request = {"model": "sonnet", "max_tokens": 9, "messages": [{"role": "user", "content": PONG}]}
    async with upstreams(tmp_path, *tables, keys=keys) as gateway:
        sent = {name: {"x-api-key": f"key-of-{name}"} for name in keys}
        for name, upstream in (("ann", "one"), ("bob", "two")):
            answer = await gateway.http.post("/v1/chat/completions", json=request, headers=sent[name])
            assert answer.headers["x-dragoman-upstream"] == upstream
        counted = await gateway.http.post("/v1/messages/count_tokens", json=request, headers=sent["bob"])
        assert counted.status_code == 200
        assert gateway.calls() == [1, 1]
        for stream in (False, True):
            body = {**request, "stream": stream}
            refused = await gateway.http.post("/v1/chat/completions", json=body, headers=sent["eve"])
            error = refused.json()["error"]
            assert (refused.status_code, error["type"], error["code"]) == (403, "permission_error", "key_not_served")
            assert "`eve`" in error["message"]


async def test_client_key_sees_its_models(tmp_path: Path) -> None:
    """In lists and one by one, in both forms; with open models, a client without a key sees all."""
    keys = {name: {"api_key": f"key-of-{name}"} for name in ("ann", "bob", "eve")}
    tables = ({**ONE, "keys": ["ann"], "models": ["haiku"]}, {**TWO, "keys": ["bob"]})
    async with upstreams(tmp_path, *tables, keys=keys, open_models=True) as gateway:

        async def listed(name: str, **headers: str) -> set[str]:
            sent = {**({"x-api-key": f"key-of-{name}"} if name else {}), **headers}
            return {model["id"] for model in (await gateway.http.get("/v1/models", headers=sent)).json()["data"]}

        all_models = await listed("")
        assert {"claude-haiku-5-5", "claude-sonnet-5-5", "sonnet"} <= all_models
        assert await listed("bob") == all_models
        ann = await listed("ann")
        assert {"claude-haiku-5-5", "haiku"} <= ann
        assert all("haiku" in name for name in ann)
        assert await listed("ann", **{"anthropic-version": "2023-06-01"}) == {"claude-haiku-5-5"}
        assert await listed("eve") == set()
        statuses = [
            (await gateway.http.get("/v1/models/sonnet", headers={"x-api-key": f"key-of-{name}"})).status_code
            for name in keys
        ]
        assert statuses == [404, 200, 404]
