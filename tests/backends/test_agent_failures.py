"""Agent processes that write unexpected frames: the run fails at once, and nothing remains."""

import json
from pathlib import Path

import pytest
from agent_harness import agents
from backend_harness import scripted_runtime
from gateways import with_timeout
from unexpected_frames import UNEXPECTED_FRAMES, error_code

from dragoman.core.errors import UpstreamFailed
from dragoman.core.messages import JSONObject

_TOOL_USE = {"type": "tool_use", "name": "Bash", "input": {}}
_RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": 5}

FRAMES = [
    *UNEXPECTED_FRAMES,
    {"type": "user"},
    {"type": "user", "message": "text"},
    {"type": "user", "message": {"content": [_RESULT]}},
    {"type": "user", "message": {"content": [{**_RESULT, "tool_use_id": None}]}},
    {"type": "assistant", "message": {"content": [_TOOL_USE]}},
    {"type": "assistant", "message": {"content": [{**_TOOL_USE, "id": 1}]}},
    {"type": "assistant", "message": {"content": [{"type": "tool_use", "id": "toolu_1"}]}},
]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: json.dumps(frame)[:70])
async def test_an_unexpected_frame_fails_its_run_at_once(tmp_path: Path, frame: object) -> None:
    """The run does not wait for the silence limit. Its process and its files are gone."""
    async with agents(tmp_path, command=scripted_runtime(tmp_path, frame)) as host:
        with pytest.raises(UpstreamFailed, match=r"process failed|could not be read") as caught:
            await with_timeout(host.ask("Hello"))
        assert caught.value.code == error_code(frame)
        assert host.runtime.processes["all"] == 0
        assert host.workspaces == []


@pytest.mark.parametrize(
    "status",
    [
        {"mcpServers": "none"},
        {"mcpServers": ["keys"]},
        {"mcpServers": [{"status": "connected"}]},
        {"mcpServers": [{"name": "keys", "status": ["connected"]}]},
    ],
    ids=json.dumps,
)
async def test_an_unexpected_server_status_fails_its_run(tmp_path: Path, status: JSONObject) -> None:
    """The status is not readable."""
    command = scripted_runtime(tmp_path, response=status)
    async with agents(tmp_path, modes=frozenset({"default", "bypassPermissions"}), command=command) as host:
        with pytest.raises(UpstreamFailed, match="mcp_status") as caught:
            await with_timeout(host.ask("Hello", mcp_servers={"keys": {"command": "cat"}}))
        assert caught.value.code == "runtime_failed"
        assert host.runtime.processes["all"] == 0
        assert host.workspaces == []
