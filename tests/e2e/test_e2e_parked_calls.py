"""Three nodes with the runtime: the results of a tool call come to another node than the one on which it is parked."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from clusters import Cluster, cluster
from gateways import OLD, TIMEOUT, with_timeout
from scripted import clean

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

CHAT = "/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}


def runtime_cluster(folder: Path, database: str) -> AbstractAsyncContextManager[Cluster]:
    """Start a cluster with the runtime, without warm processes."""
    return cluster(folder, database, DRAGOMAN_BACKEND="runtime", DRAGOMAN_SPARES="0", DRAGOMAN_LONG_SPARES="0")


async def call_tool(made: Cluster, index: int, word: str) -> dict[str, Any]:
    """Have Claude call a tool on a node, whose process waits then. Return the request with the results."""
    ask = {"role": "user", "content": f'Call lookup with {{"word": "{word}"}}'}
    body = {"model": OLD, "messages": [ask], "tools": [TOOL]}
    async with made.client(index) as node:
        answer = (await node.post(CHAT, json=body)).json()
        [call] = answer["choices"][0]["message"]["tool_calls"]
        assert word in call["function"]["arguments"]
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": call["id"], "content": f"about {word}"}
    return {**body, "messages": [ask, message, result]}


async def send_results(made: Cluster, index: int, body: dict[str, Any]) -> tuple[str, str]:
    """Send the results of a call to a node. Return how the turn was executed, and its text."""
    async with made.client(index) as node:
        answer = await node.post(CHAT, json=body)
    assert answer.status_code == 200
    return answer.headers["x-dragoman-path"], answer.json()["choices"][0]["message"]["content"]


async def count_processes(made: Cluster, index: int) -> int:
    """Return how many runtime processes a node has."""
    async with made.client(index) as node:
        return int((await node.get("/health/ready")).json()["backend"]["processes"]["all"])


def messages_of(made: Cluster) -> list[list[Any]]:
    """Return the messages of each call that Claude got."""
    return [list(call.body["messages"]) for call in made.upstream.calls if call.path == "/v1/messages"]  # type: ignore[arg-type] # a request's messages are a list


async def test_results_reach_the_parked_call_on_another_node(tmp_path: Path, database: str) -> None:
    """The process that waits for them continues. The node that they came to starts none."""
    async with runtime_cluster(tmp_path, database) as made:
        async with asyncio.timeout(TIMEOUT):
            for number in range(1000):  # the nodes learn of each other within a second or two of their start
                index = 1 + number % 2
                before = await count_processes(made, index)
                body = await call_tool(made, 0, f"word{number}")
                path, text = await send_results(made, index, body)
                assert text == f"The tool said: about word{number}"
                if path == "live":
                    break
        assert await count_processes(made, index) == before
        assert len(messages_of(made)) == 2 * (number + 1)


async def test_results_are_replayed_when_the_node_of_the_call_was_killed(tmp_path: Path, database: str) -> None:
    """On the node that they come to. Claude sees the same conversation, and is asked once for each turn."""
    async with runtime_cluster(tmp_path, database) as made:
        body = await call_tool(made, 0, "word")
        made.nodes[0].kill()
        await with_timeout(made.nodes[0].wait())
        path, text = await send_results(made, 1, body)
        assert (path, text) == ("cold", "The tool said: about word")
        first, second = messages_of(made)
        assert [message["role"] for message in second] == ["user", "assistant", "user"]
        assert second[0]["content"][0]["text"] == first[0]["content"][0]["text"]
