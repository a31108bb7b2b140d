"""`/admin/nodes` and `/admin/plan`: the processes of this gateway, its upstreams, and the limits of plans."""

import os
import platform
import time
from collections.abc import Iterable, Iterator
from typing import cast

from starlette.requests import Request
from starlette.responses import Response

from dragoman import __version__
from dragoman.core.messages import JSON, JSONObject
from dragoman.runs.engine import Engine
from dragoman.server.admin.live import state_of
from dragoman.server.options import Operations
from dragoman.server.replies import json_response
from dragoman.stores.nodes import NodeRecord


class NodeEndpoints:
    """What each process of the gateway reports about itself. Quick: no command is run for it.

    Args:
        engine: Executes runs.
        operations: The state of the backend.
    """

    def __init__(self, engine: Engine, operations: Operations) -> None:
        self._engine = engine
        self._operations = operations
        self._started_at = time.monotonic()
        if operations.peers:
            operations.peers.answer("process", self._answer)

    async def nodes(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return the nodes of the gateway, each with its workers. A node that does not answer has none."""
        peers = self._operations.peers
        answers = await peers.ask_all("process") if peers else {}
        found: dict[str, JSONObject] = {}
        for one in [self._own(), *cast("Iterable[JSONObject]", answers.values())]:
            node = cast("JSONObject", one.pop("node"))
            known = found.setdefault(str(node["gateway"]), {**node, "here": not found, "workers": []})
            cast("list[JSON]", known["workers"]).append(one)
        for process, record in (peers.nodes.others if peers and peers.nodes else {}).items():
            if process not in answers:
                found.setdefault(record.gateway, {**_node(record.address, record), "here": False, "workers": []})
        for node in found.values():
            cast("list[JSONObject]", node["workers"]).sort(key=lambda one: cast("int", one["worker"]))
        return json_response({"nodes": [{name: node[name] for name in _SHOWN} for node in found.values()]})

    async def plan(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return the limits of the plans of signed-in accounts: for each account, the newest report of all workers."""
        peers = self._operations.peers
        answers = await peers.ask("process") if peers else {}
        newest: dict[str | None, JSONObject | None] = {}
        for worker in [self._own(), *cast("Iterable[JSONObject]", answers.values())]:
            for upstream, plan in _plans(worker):
                known = newest.get(upstream)
                if known is None or (plan and cast("float", plan["reported"]) > cast("float", known["reported"])):
                    newest[upstream] = plan
        plans: list[JSON] = [{"upstream": upstream, **(plan or _NOT_REPORTED)} for upstream, plan in newest.items()]
        return json_response({"plans": plans})

    async def _answer(self, _argument: str) -> JSON:
        return self._own()

    def _own(self) -> JSONObject:
        peers = self._operations.peers
        record = peers.nodes.own if peers and peers.nodes else None
        return {
            "node": _node(platform.node(), record),
            "worker": peers.index if peers else 0,
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._started_at, 1),
            **state_of(self._engine, self._operations),
        }


_SHOWN = ("name", "here", "version", "draining", "workers")


def _node(name: str, record: NodeRecord | None) -> JSONObject:
    """Return what the processes of one node have in common."""
    if record is None:
        return {"gateway": "", "name": name, "version": __version__, "draining": False}
    return {"gateway": record.gateway, "name": name, "version": record.version, "draining": record.draining}


_NOT_REPORTED: JSONObject = {"status": None, "reported": None, "windows": []}


def _plans(worker: JSONObject) -> Iterator[tuple[str | None, JSONObject | None]]:
    """Yield the plan of each signed-in account of a worker, by the upstream's name; None if there is only one account.

    A plan that the runtime has not reported yet counts as None.
    """
    upstreams = cast("dict[str, JSONObject]", worker["upstreams"] or {})
    for name, one in (*upstreams.items(), (None, worker)):
        if one.get("authentication") == "signed_in":
            yield name, cast("JSONObject | None", one["plan"])
