"""The API's own tools through the real runtime: searches, citations, and paused turns."""

from pathlib import Path

import pytest
from backend_harness import ONE_OF_EACH, runtime, user

from dragoman.core.errors import UpstreamFailed
from dragoman.core.messages import Block, JSONObject
from dragoman.runs.executor import grouped, run_with_continuations
from dragoman.runs.run import Run
from dragoman.simulator.faults import Fault

SEARCH: JSONObject = {"type": "web_search_20250305", "name": "web_search"}
PAUSED: Block = {"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": {"query": "tea"}}


@pytest.mark.parametrize("model", ONE_OF_EACH)
async def test_a_search_comes_with_its_results_and_citations(tmp_path: Path, model: str) -> None:
    """Blocks that the runtime does not know reach the client as the API sent them."""
    async with runtime(tmp_path) as harness:
        answer = await harness.ask([user('Search the web for "tea"')], model, tools=[SEARCH])
        kinds = [block["type"] for block in answer.accumulated.message["content"] if block["type"] != "thinking"]
        assert kinds[:2] == ["server_tool_use", "web_search_tool_result"]
        assert any("citations" in block for block in answer.accumulated.message["content"])
        assert harness.calls[0].body["tools"] == [SEARCH]
        assert len(harness.calls) == 1


@pytest.mark.parametrize("model", ONE_OF_EACH)
async def test_a_paused_search_is_an_error(tmp_path: Path, model: str) -> None:
    """The runtime cannot continue a search without a result: it would silently send a text instead."""
    async with runtime(tmp_path) as harness:

        async def fails() -> None:
            harness.simulator.inject(Fault(stop_reason="pause_turn", content=[PAUSED]))
            request = harness.request([user("Reply with exactly: PONG")], model, tools=[SEARCH])
            with pytest.raises(UpstreamFailed, match="paused") as caught:
                await run_with_continuations(grouped(harness.backend.run), request, Run("me", model))
            assert caught.value.code == "turn_paused"

        await harness.ends_in_one_call(fails)


async def test_a_response_that_pauses_after_its_results_is_continued(tmp_path: Path) -> None:
    """The content before the pause is sent back unchanged, and the client gets one response."""
    async with runtime(tmp_path) as harness:
        harness.simulator.inject(Fault(stop_reason="pause_turn", content=[{"type": "text", "text": "Well:"}]))
        request = harness.request([user("Reply with exactly: PONG")])
        run = Run("me", request.model.id)
        await run_with_continuations(grouped(harness.backend.run), request, run)
        message = run.result().message
        assert [block["text"] for block in message["content"]] == ["Well:", "PONG"]
        assert message["stop_reason"] == "end_turn"
        assert len(harness.calls) == 2
