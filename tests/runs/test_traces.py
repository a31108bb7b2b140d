"""Traces of runs, as a collector receives them."""

import asyncio
import re
import sys
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_harness import raw_server
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from dragoman.config.loading import BadSettings, load
from dragoman.core.trace_context import TraceContext
from dragoman.runs.traces import NAMES
from dragoman.server.http_server import Server, listen
from dragoman.simulator.server import Simulator
from dragoman.wiring.checks import check_settings
from dragoman.wiring.gateway import build
from log_lines import log_lines

SECRET = "sk-ant-dummy-0123456789"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@asynccontextmanager
async def collector(spans: list[Span]) -> AsyncIterator[str]:
    """Receive OTLP over HTTP. Yield the endpoint."""

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().lower().split("\r\n")
            assert lines[0] == "post /v1/traces http/1.1"
            length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
            assert "content-type: application/x-protobuf" in lines
            received = ExportTraceServiceRequest.FromString(await reader.readexactly(length))
            spans.extend(s for one in received.resource_spans for scope in one.scope_spans for s in scope.spans)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
            return

    async with raw_server(answer) as url:
        yield f"{url}/v1/traces"


@asynccontextmanager
async def gateway(folder: Path, **settings: object) -> AsyncIterator[tuple[httpx.AsyncClient, Simulator]]:
    """Serve the backend `api` in front of a simulator. At the end all spans are sent."""
    async with Simulator() as simulator:
        account = {"anthropic_api_key": SECRET, "anthropic_base_url": simulator.url, "backend": "api"}
        loaded = load({**account, "port": 0, "log_level": "off", "state_dir": folder, **settings}, env_file=None)
        sock = listen(loaded.host, 0)
        async with build(loaded) as built:
            server = Server(built.app, built, 5.0)
            serving = asyncio.create_task(server.serve([sock]))
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}", timeout=60) as http:
                yield http, simulator
            server.stop()
            await serving


def value(found: AnyValue) -> Any:
    """Return an attribute's value."""
    kind = found.WhichOneof("value")
    return [value(one) for one in found.array_value.values] if kind == "array_value" else getattr(found, str(kind))


def attributes(span: Span) -> dict[str, Any]:
    """Return a span's attributes."""
    return {one.key: value(one.value) for one in span.attributes}


def chat(text: str, **fields: object) -> dict[str, Any]:
    """Return a chat request."""
    return {"model": "claude-opus-5-5", "messages": [{"role": "user", "content": text}], **fields}


async def test_spans_of_a_run(tmp_path: Path) -> None:
    """The request is a span in the client's trace, and the call of the model a span in it, which Claude's API gets."""
    spans: list[Span] = []
    async with collector(spans) as endpoint, gateway(tmp_path, otlp_endpoint=endpoint) as (http, simulator):
        body = chat("Reply with exactly: PONG", max_tokens=50)
        response = await http.post("/v1/chat/completions", json=body, headers={"traceparent": PARENT})
        sent = simulator.calls[-1].headers["traceparent"]
    request, call = spans
    own, model = attributes(request), attributes(call)
    assert (request.name, call.name) == ("POST /v1/chat/completions", "chat claude-opus-5-5")
    assert (request.kind, call.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert {request.trace_id.hex(), call.trace_id.hex()} == {PARENT.split("-")[1]}
    assert request.parent_span_id.hex() == PARENT.split("-")[2]
    assert call.parent_span_id == request.span_id
    assert sent == f"00-{call.trace_id.hex()}-{call.span_id.hex()}-01"
    assert request.start_time_unix_nano <= call.start_time_unix_nano < call.end_time_unix_nano
    assert own["dragoman.run.id"] == response.headers["x-dragoman-run-id"]
    usage = response.json()["usage"]
    assert model["gen_ai.provider.name"] == "anthropic"
    assert model["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert model["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert model["gen_ai.request.max_tokens"] == 50
    assert model["gen_ai.response.finish_reasons"] == ["end_turn"]
    assert model["gen_ai.response.time_to_first_chunk"] > 0
    known = {*NAMES["1.41"].values()}
    assert set(model) <= known
    assert not set(model) & {NAMES["1.41"][name] for name in ("system", "messages", "response")}
    assert "PONG" not in str(spans)


async def test_content_and_newest_names(tmp_path: Path) -> None:
    """With the operator's wish spans have prompt and response, without secrets. Names are those of the version."""
    spans: list[Span] = []
    settings = {"otlp_content": True, "otlp_conventions": "latest"}
    async with collector(spans) as endpoint, gateway(tmp_path, otlp_endpoint=endpoint, **settings) as (http, _):
        await http.post("/v1/chat/completions", json=chat(f"Reply with exactly: {SECRET}"))
    model = attributes(spans[1])
    assert "gen_ai.usage.cache_write.input_tokens" in model
    assert "Reply with exactly" in model["gen_ai.input.messages"]
    assert "text" in model["gen_ai.output.messages"]
    assert SECRET not in str(spans)


async def test_failed_and_unsampled_runs(tmp_path: Path) -> None:
    """A failed run has the error's code as its type. A trace that the client does not record is not sent."""
    spans: list[Span] = []
    async with collector(spans) as endpoint, gateway(tmp_path, otlp_endpoint=endpoint, retries=0) as (http, _):
        await http.post("/v1/chat/completions", json=chat("Simulate: error 400"))
        await http.post("/v1/chat/completions", json=chat("Hello"), headers={"traceparent": PARENT[:-1] + "0"})
    assert len(spans) == 2
    assert {span.status.code for span in spans} == {Status.STATUS_CODE_ERROR}
    assert attributes(spans[0])["error.type"] == attributes(spans[1])["error.type"]


async def test_trace_ids_in_the_log(tmp_path: Path) -> None:
    """The lines of a request and of each of its runs have the trace's id: the client's, or the one that begins here.

    Each choice is a call of its own in that trace. Only the client's own trace is sent on.
    """
    spans: list[Span] = []
    with log_lines() as lines:
        async with collector(spans) as endpoint, gateway(tmp_path, otlp_endpoint=endpoint) as (http, simulator):
            await http.post("/v1/chat/completions", json=chat("Hello", n=2), headers={"traceparent": PARENT})
            await http.post("/v1/chat/completions", json=chat("Hello"))
            sent = [call.headers.get("traceparent") for call in simulator.calls]
    client = PARENT.split("-")[1]
    [own] = {span.trace_id.hex() for span in spans} - {client}
    traces = [(str(line["event"]), line["trace"]) for line in lines if line["event"] in {"run.end", "http.request"}]
    assert Counter(traces) == {
        ("run.end", client): 2,
        ("http.request", client): 1,
        ("run.end", own): 1,
        ("http.request", own): 1,
    }
    assert len({span.span_id for span in spans}) == len(spans) == 6
    assert [header is not None for header in sent] == [True, True, False]
    assert len(set(sent)) == 3


async def test_a_collector_that_is_gone(tmp_path: Path) -> None:
    """Requests are served, and the gateway ends, without the collector."""
    async with gateway(tmp_path, otlp_endpoint="http://127.0.0.1:1/v1/traces") as (http, _):
        response = await http.post("/v1/chat/completions", json=chat("Hello"))
    assert response.status_code == 200


@pytest.mark.parametrize(
    "header",
    [None, b"", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01", b"ff" + PARENT[2:].encode(), PARENT.encode() + b"-x"],
)
def test_invalid_headers(header: bytes | None) -> None:
    """A header that is no trace is ignored."""
    assert TraceContext.of(header) is None


def test_later_versions() -> None:
    """A header of a later version may have more parts."""
    found = TraceContext.of(b"01" + PARENT[2:].encode() + b"-more")
    assert found is not None
    assert found.header.startswith(PARENT[:35])


def test_documented_names() -> None:
    """The page for operators has exactly the names of both versions."""
    page = (Path(__file__).parents[2] / "docs" / "operate.md").read_text(encoding="utf-8")
    section = page.partition("\n## Traces\n")[2].partition("\n## ")[0]
    assert {*re.findall(r"gen_ai\.[a-z_.]+", section), "error.type"} == {
        name for names in NAMES.values() for name in names.values()
    }


def test_wrong_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no URL is refused, and the extra is asked for where it is missing."""
    with pytest.raises(BadSettings, match="no URL"):
        check_settings(load({"otlp_endpoint": "localhost"}, env_file=None), backend=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    with pytest.raises(BadSettings, match=r"dragoman\[otel\]"):
        check_settings(load({"otlp_endpoint": "http://localhost/v1/traces"}, env_file=None), backend=False)
