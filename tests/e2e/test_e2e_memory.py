"""The memory of a gateway process under many large requests at once."""

import asyncio
import json
from pathlib import Path

import httpx
from api_harness import raw_server
from background_gateway import background_gateway

_BODIES, _BODY_BYTES = 20, 30_000_000
_MAX_RESIDENT = 600 * 2**20
_EVENTS = (
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-5-5",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "PONG"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    },
    {"type": "message_stop"},
)
_RESPONSE = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in _EVENTS).encode()


async def _upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request once it was read, without looking at it: the simulator would need longer than the gateway."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        left = int(length.split(b":")[1])
        while left:
            left -= len(await reader.read(min(left, 2**20)))
        headers = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(_RESPONSE)}\r\n\r\n"
        writer.write(headers.encode() + _RESPONSE)


def _peak_memory(pid: int) -> int:
    """Return the most memory that a process has had, in bytes."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


async def _post(http: httpx.AsyncClient, body: bytes) -> int:
    """Send a request, again if the gateway says so: on a busy machine, waiting takes longer than a minute."""
    while True:
        response = await http.post("/v1/chat/completions", content=body)
        if response.status_code != 503:
            return response.status_code
        assert int(response.headers["retry-after"]) > 0


async def test_twenty_bodies_of_thirty_megabytes_at_once(tmp_path: Path) -> None:
    """All are answered, one after another where there is no memory for more, and `/health` is answered meanwhile."""
    body = json.dumps({"messages": [{"role": "user", "content": "lorem ipsum\n" * (_BODY_BYTES // 13)}]}).encode()
    account = {"ANTHROPIC_API_KEY": "sk-ant-dummy-000000"}
    async with (
        raw_server(_upstream) as url,
        background_gateway(tmp_path, "--backend", "api", added={**account, "ANTHROPIC_BASE_URL": url}) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=300, limits=httpx.Limits(max_connections=None)) as http,
    ):
        posts = [asyncio.create_task(_post(http, body)) for _ in range(_BODIES)]
        answered = 0
        while not all(post.done() for post in posts):
            assert (await http.get("/health")).status_code == 200
            answered += 1
            await asyncio.wait(posts, timeout=0.05)
        assert [await post for post in posts] == [200] * _BODIES
        peak = _peak_memory(gateway.pid)
    assert answered > 1
    assert peak < _MAX_RESIDENT
