"""Stored conversations survive a restart of the gateway between any two turns, on both backends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from gateways import TIMEOUT

from dragoman.config.loading import load
from dragoman.core.messages import JSONObject
from dragoman.simulator.server import Simulator
from dragoman.wiring.gateway import build

TURNS = 6
TOOL: JSONObject = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@asynccontextmanager
async def fresh_gateway(folder: Path, backend: str, simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """Start a gateway that has only the files in its folder."""
    settings = {
        "backend": backend,
        "anthropic_api_key": "sk-ant-dummy",
        "anthropic_base_url": simulator.url,
        "log_level": "off",
        "spares": 0,
        "state_dir": folder / "state",
    }
    async with build(load(settings, env_file=None)) as gateway:
        transport = httpx.ASGITransport(gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/v1", timeout=TIMEOUT) as http:
            yield http


@pytest.mark.parametrize("backend", ["api", "runtime"])
async def test_conversation_survives_restarts(tmp_path: Path, backend: Literal["api", "runtime"]) -> None:
    """Each turn is a call or its result, on a new gateway; the API receives the whole conversation."""
    last: dict[str, Any] = {}
    async with Simulator() as simulator:
        for turn in range(TURNS):
            body: dict[str, Any] = {"tools": [TOOL]} if turn == 0 else {}
            body["input"] = _turn_input(turn, last)
            if last:
                body["previous_response_id"] = last["id"]
            async with fresh_gateway(tmp_path, backend, simulator) as http:
                answer = await http.post("/responses", json=body)
            assert answer.status_code == 200, answer.text
            assert "left_out" not in answer.headers.get("x-dragoman-warnings", "")
            last = answer.json()
        sent = [call.body["messages"] for call in simulator.calls if call.path == "/v1/messages"][-1]
    assert last["output"][-1]["content"][0]["text"] == f"The tool said: {TURNS - 1} degrees"
    conversation = str(sent)
    for number in range(0, TURNS, 2):
        assert f"City {number}" in conversation
        assert f"{number + 1} degrees" in conversation
    assert conversation.count("'tool_use'") == TURNS // 2


def _turn_input(turn: int, last: dict[str, Any]) -> Any:
    if turn % 2 == 0:
        return f'Call get_weather with {{"city": "City {turn}"}}, then tell me.'
    call = next(item for item in last["output"] if item["type"] == "function_call")
    return [{"type": "function_call_output", "call_id": call["call_id"], "output": f"{turn} degrees"}]
