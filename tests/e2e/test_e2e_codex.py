"""A session of Codex against the whole gateway, on both backends: namespaces, searches, patches, compaction."""

from pathlib import Path
from typing import Any, Literal

import pytest
from responses_support import parse_events
from test_e2e_stored import fresh_gateway

from dragoman.core.messages import JSONObject
from dragoman.simulator.server import Simulator

ECHO: JSONObject = {
    "type": "function",
    "name": "echo_it",
    "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}
DEMO: JSONObject = {"type": "namespace", "name": "mcp__demo", "description": "Demo tools.", "tools": [ECHO]}
PATCH: JSONObject = {"type": "custom", "name": "apply_patch", "description": "Edits files."}
SEARCH: JSONObject = {"type": "tool_search", "execution": "client"}
TOOLS = [{"type": "namespace", "name": "functions", "description": "Tools.", "tools": [PATCH]}, SEARCH]
Backend = Literal["api", "runtime"]


def user(text: str) -> JSONObject:
    """Return a message of the user."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


@pytest.mark.parametrize("backend", ["api", "runtime"])
async def test_session(tmp_path: Path, backend: Backend) -> None:
    """Each turn sends the whole history, as Codex does; no item is lost, and none causes a warning."""
    history: list[Any] = [
        {"type": "additional_tools", "role": "developer", "tools": TOOLS},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
    ]
    async with Simulator() as simulator, fresh_gateway(tmp_path, backend, simulator) as http:

        async def turn(*items: JSONObject) -> list[Any]:
            history.extend(items)
            body = {"model": "claude-sonnet-4-5", "input": history, "stream": True, "store": False}
            response = await http.post("/responses", json=body)
            assert response.status_code == 200, response.text
            assert response.headers["x-dragoman-warnings"] == "[]"
            events = parse_events(response.content)
            assert events[-1]["type"] == "response.completed"
            history.extend(events[-1]["response"]["output"])
            return events

        await turn(user('Call `tool_search` with {"query": "echo"}'))
        search = history[-1]
        assert (search["type"], search["arguments"]) == ("tool_search_call", {"query": "echo"})
        found: JSONObject = {
            "type": "tool_search_output",
            "execution": "client",
            "status": "completed",
            "tools": [DEMO],
        }
        await turn({**found, "call_id": search["call_id"]})
        await turn(user('Call `mcp__demo__echo_it` with {"text": "hi"}'))
        call = history[-1]
        assert (call["type"], call["namespace"], call["name"]) == ("function_call", "mcp__demo", "echo_it")
        await turn({"type": "function_call_output", "call_id": call["call_id"], "output": "echo: hi"})
        assert "echo: hi" in str(history[-1])
        patch = "*** Begin Patch\\n+ a" + "b" * 200
        events = await turn(user(f'Call `apply_patch` with {{"input": "{patch}"}}'))
        deltas = [event["delta"] for event in events if event["type"] == "response.custom_tool_call_input.delta"]
        assert len(deltas) > 1
        assert "".join(deltas) == history[-1]["input"] == patch.replace("\\n", "\n")
        assert (history[-1]["type"], history[-1]["namespace"]) == ("custom_tool_call", "functions")
        await turn({"type": "custom_tool_call_output", "call_id": history[-1]["call_id"], "output": "Done."})
        length = len(history)
        await turn({"type": "compaction_trigger"})
        assert [item["type"] for item in history[length:]] == ["compaction_trigger", "compaction"]
        history[2:] = history[-1:]
        await turn(user("And now?"))
        bodies: list[Any] = [one.body for one in simulator.calls if one.path == "/v1/messages"][-2:]
    assert "Summarize this conversation" in str(bodies[0]["messages"][-1])
    assert "echo: hi" in str(bodies[0]["messages"])
    assert "echo: hi" not in str(bodies[1]["messages"])
    assert "This is a summary of the conversation" in str(bodies[1]["messages"][0])


@pytest.mark.parametrize("backend", ["api", "runtime"])
@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-5-5"])
async def test_references_in_a_tool_loop(tmp_path: Path, backend: Backend, model: str) -> None:
    """The AI SDK's default: earlier reasoning, calls and texts come as references. All of it reaches the API."""
    fields: Any = {"model": model, "tools": [ECHO], "reasoning": {"effort": "low"}}
    items: list[Any] = [user('Call `echo_it` with {"text": "hi"}')]
    async with Simulator() as simulator, fresh_gateway(tmp_path, backend, simulator) as http:
        for _ in range(3):
            response = await http.post("/responses", json={"input": items, **fields})
            assert response.status_code == 200, response.text
            assert response.headers["x-dragoman-warnings"] == "[]"
            output = response.json()["output"]
            items += [{"type": "item_reference", "id": item["id"]} for item in output]
            calls = [item for item in output if item["type"] == "function_call"]
            results = [
                {"type": "function_call_output", "call_id": call["call_id"], "output": "echo: hi"} for call in calls
            ]
            items += results or [user("And now?")]
        sent: list[Any] = [one.body["messages"] for one in simulator.calls if one.path == "/v1/messages"]
    first = next(message for message in sent[-1] if message["role"] == "assistant")
    assert [block["type"] for block in first["content"]] == ["thinking", "tool_use"]
    assert "echo: hi" in str(sent[-1])
