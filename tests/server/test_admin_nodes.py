"""What the operator sees of workers, upstreams and the plan of a sign-in."""

from pathlib import Path

import pytest
from scripted import KEY, clean, replies, served
from test_nodes import nodes
from test_peers import two_workers

from dragoman.core.messages import JSONObject

_clean = pytest.fixture(autouse=True)(clean)


def plan(used: float, reported: float) -> JSONObject:
    """Return a plan with one window."""
    window: JSONObject = {"name": "five_hour", "status": "allowed", "used": used, "resets": 2e9}
    return {"status": "allowed", "reported": reported, "windows": [window]}


async def test_one_node(tmp_path: Path) -> None:
    """A gateway of one process is one node with one worker."""
    async with served(replies("Hello"), state_dir=tmp_path, max_concurrency=7) as gateway:
        [node] = (await gateway.http.get("/admin/nodes")).json()["nodes"]
        plans = (await gateway.http.get("/admin/plan")).json()
    [worker] = node["workers"]
    assert node["here"] is True
    assert node["name"]
    assert (worker["worker"], worker["ready"], worker["places"], worker["backend"]) == (0, True, 7, "scripted")
    assert worker["processes"] == {"spare": 2, "live": 1, "all": 3}
    assert plans == {"plans": []}


async def test_workers_and_the_newest_plan(tmp_path: Path) -> None:
    """Each worker reports itself, through any of them. Of several reports of one account, the newest counts."""
    async with two_workers(replies("Hello"), tmp_path) as (one, two):
        one.backend.more_status = {"authentication": "signed_in", "plan": None}
        two.backend.more_status = {"authentication": "signed_in", "plan": None}
        silent = (await one.http.get("/admin/plan")).json()
        one.backend.more_status = {"authentication": "signed_in", "plan": plan(0.1, 100.0)}
        first = (await two.http.get("/admin/plan")).json()
        two.backend.more_status = {"authentication": "signed_in", "plan": plan(0.2, 200.0)}
        two.backend.not_ready_reason = "No sign-in."
        second = [(await worker.http.get("/admin/plan")).json() for worker in (one, two)]
        [node] = (await one.http.get("/admin/nodes")).json()["nodes"]
    assert silent == {"plans": [{"upstream": None, "status": None, "reported": None, "windows": []}]}
    assert first == {"plans": [{"upstream": None, **plan(0.1, 100.0)}]}
    assert second == [{"plans": [{"upstream": None, **plan(0.2, 200.0)}]}] * 2
    assert [(worker["worker"], worker["reason"]) for worker in node["workers"]] == [(0, None), (1, "No sign-in.")]


async def test_plans_of_upstreams(tmp_path: Path) -> None:
    """Only the upstream that is signed in has a plan."""
    upstreams: JSONObject = {
        "mine": {"authentication": "signed_in", "plan": plan(0.5, 1.0)},
        "work": {"authentication": "api_key"},
    }
    async with served(replies("Hello"), state_dir=tmp_path) as gateway:
        gateway.backend.more_status = {"upstreams": upstreams}
        found = (await gateway.http.get("/admin/plan")).json()
    assert found == {"plans": [{"upstream": "mine", **plan(0.5, 1.0)}]}


async def test_all_nodes(tmp_path: Path, database: str) -> None:
    """Every node lists all of them, itself first, with the workers of each."""
    async with nodes(replies("Hello"), tmp_path, database) as (one, two, three):
        three.backend.not_ready_reason = "No sign-in."
        listed = [(await node.http.get("/admin/nodes")).json()["nodes"] for node in (one, two)]
    for found in listed:
        assert [node["here"] for node in found] == [True, False, False]
        assert [len(node["workers"]) for node in found] == [1, 1, 1]
        assert sorted(str(node["workers"][0]["reason"]) for node in found) == ["No sign-in.", "None", "None"]


async def test_only_for_the_operator(tmp_path: Path) -> None:
    """A client's key sees neither."""
    keys = {"ada": {"api_key": "client-key"}}
    async with served(replies("Hello"), state_dir=tmp_path, api_key=KEY, keys=keys) as gateway:
        for path in ("/admin/nodes", "/admin/plan"):
            headers = {"x-api-key": "client-key"}
            assert (await gateway.http.get(path, headers=headers)).status_code == 403
            assert (await gateway.http.get(path)).status_code == 401
