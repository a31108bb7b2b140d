"""Spans of runs for OpenTelemetry. They are made after a run, from its record, and sent in batches by a thread.

Each run is two spans: the request to the gateway, and in it the call of the model. Names are those of the conventions
for generative AI. Only this module imports OpenTelemetry, and only a gateway that sends spans imports it.

Sources: https://github.com/open-telemetry/semantic-conventions/tree/v1.41.0/docs/gen-ai and
https://github.com/open-telemetry/semantic-conventions-genai
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, cast

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from dragoman import __version__
from dragoman.core import log
from dragoman.core.messages import JSONObject
from dragoman.core.redaction import Redactor
from dragoman.core.supervise import SupervisedTask, failures_in
from dragoman.core.trace_context import TraceContext
from dragoman.core.usage_counts import counts_of
from dragoman.runs.records import record_of
from dragoman.runs.run import Run
from dragoman.stores.run_records import RunRecord

Conventions: TypeAlias = Literal["1.41", "latest"]

_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "operation": "gen_ai.operation.name",
        "provider": "gen_ai.provider.name",
        "request_model": "gen_ai.request.model",
        "max_tokens": "gen_ai.request.max_tokens",
        "temperature": "gen_ai.request.temperature",
        "top_p": "gen_ai.request.top_p",
        "top_k": "gen_ai.request.top_k",
        "stop": "gen_ai.request.stop_sequences",
        "response_id": "gen_ai.response.id",
        "response_model": "gen_ai.response.model",
        "finish_reasons": "gen_ai.response.finish_reasons",
        "first_token": "gen_ai.response.time_to_first_chunk",
        "input": "gen_ai.usage.input_tokens",
        "output": "gen_ai.usage.output_tokens",
        "cache_read": "gen_ai.usage.cache_read.input_tokens",
        "cache_write": "gen_ai.usage.cache_creation.input_tokens",
        "thinking": "gen_ai.usage.reasoning.output_tokens",
        "system": "gen_ai.system_instructions",
        "messages": "gen_ai.input.messages",
        "response": "gen_ai.output.messages",
        "error": "error.type",
    }
)
"""The names of attributes in version 1.41."""

_LATEST: Mapping[str, str] = MappingProxyType({**_NAMES, "cache_write": "gen_ai.usage.cache_write.input_tokens"})
"""The same in the newest version."""

NAMES: Mapping[Conventions, Mapping[str, str]] = MappingProxyType({"1.41": _NAMES, "latest": _LATEST})

_SEND_SECONDS = 1.0
_EXPORT_SECONDS = 3.0
"""Seconds for all attempts to send a batch: the gateway's end may have to wait for them."""
_MAX_WAITING = 2048
"""Runs that wait to be sent. When there are more, the oldest are dropped."""
_REQUEST_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "max_tokens": "max_tokens",
        "temperature": "temperature",
        "top_p": "top_p",
        "top_k": "top_k",
        "stop": "stop_sequences",
    }
)


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """The settings of traces.

    Attributes:
        endpoint: Where spans are sent: the URL of a collector's OTLP over HTTP, with its path.
        conventions: The version of the names.
        content: Whether prompts and responses are sent.
    """

    endpoint: str
    conventions: Conventions = "1.41"
    content: bool = False


@dataclass(frozen=True, slots=True)
class _Ended:
    """What the spans of a run are made from."""

    record: RunRecord
    trace: TraceContext
    request: JSONObject
    response: JSONObject


class Traces:
    """Sends the spans of runs. Start it, note runs, close it.

    Args:
        options: The settings.
        redactor: Removes secrets from what is sent.
        exporter: Sends spans; None: to the collector of the options. It is closed with the traces.
    """

    def __init__(self, options: TraceOptions, redactor: Redactor, exporter: SpanExporter | None = None) -> None:
        self._options = options
        self._redactor = redactor
        self._exporter = exporter or OTLPSpanExporter(endpoint=options.endpoint, timeout=_EXPORT_SECONDS)
        self._resource = Resource.create({"service.name": "dragoman", "service.version": __version__})
        self._waiting: deque[_Ended] = deque(maxlen=_MAX_WAITING)
        self._dropped = 0
        self._task = SupervisedTask(self._work, name="traces", on_failure=_log_failure)

    def start(self) -> None:
        """Start to send."""
        self._task.start()

    def note(self, run: Run) -> None:
        """Have the spans of an ended run sent, if its trace is recorded."""
        trace = run.trace or TraceContext.new()
        if not trace.is_sampled:
            return
        self._dropped += len(self._waiting) == _MAX_WAITING
        record = record_of(run, self._redactor, content=True)
        response = record.response or {}
        if not self._options.content:
            response = {name: value for name, value in response.items() if name != "content"}
        body = cast("JSONObject", run.sent_body or {})
        names = {*_REQUEST_FIELDS.values(), *(("system", "messages") if self._options.content else ())}
        request = {name: body[name] for name in names & body.keys()}
        self._waiting.append(_Ended(record, trace, request, response))

    def failures(self) -> Mapping[str, str]:
        """Return why spans cannot be sent; see `dragoman.core.supervise.ReportsFailures`."""
        return failures_in(self._task)

    async def aclose(self) -> None:
        """Send what waits, once, and close the exporter."""
        await self._task.aclose()
        await self._send()
        await asyncio.to_thread(self._exporter.shutdown)

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(_SEND_SECONDS)
            await self._send()

    async def _send(self) -> None:
        if self._dropped:
            log.warning("traces.dropped", count=self._dropped)
            self._dropped = 0
        if self._waiting:
            batch = list(self._waiting)
            self._waiting.clear()
            if await asyncio.to_thread(self._export, batch) is not SpanExportResult.SUCCESS:
                log.warning("traces.unsent", count=len(batch))

    def _export(self, batch: Sequence[_Ended]) -> SpanExportResult:
        return self._exporter.export([span for ended in batch for span in self._spans(ended)])

    def _spans(self, ended: _Ended) -> tuple[ReadableSpan, ReadableSpan]:
        """Return the spans of a run: the request, and the call of the model in it."""
        record, trace = ended.record, ended.trace
        end = record.ended or record.created
        queued = record.stages.get("queue", 0.0)
        outer = TraceContext.new().span_id
        request = self._span(
            f"POST {record.endpoint or ''}".rstrip(),
            SpanKind.SERVER,
            (trace.trace_id, outer, trace.parent_id),
            (record.created, end),
            _own_attributes(record),
            record.error,
        )
        operation = "invoke_agent" if record.path == "agent" else "chat"
        call = self._span(
            f"{operation} {record.model}",
            SpanKind.CLIENT,
            (trace.trace_id, trace.span_id, outer),
            (min(record.created + queued, end), end),
            self._call_attributes(ended, operation),
            record.error,
        )
        return request, call

    def _span(
        self,
        name: str,
        kind: SpanKind,
        ids: tuple[int, int, int | None],
        times: tuple[float, float],
        attributes: Mapping[str, object],
        error: str | None,
    ) -> ReadableSpan:
        trace_id, span_id, parent_id = ids
        flags = TraceFlags(TraceFlags.SAMPLED)
        parent = None if parent_id is None else SpanContext(trace_id, parent_id, is_remote=True, trace_flags=flags)
        given = {key: value for key, value in attributes.items() if value is not None}
        return ReadableSpan(
            name,
            SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags),
            parent,
            self._resource,
            given,  # type: ignore[arg-type] # texts, numbers, and lists of texts
            kind=kind,
            status=Status(StatusCode.ERROR, error) if error else Status(StatusCode.UNSET),
            start_time=int(times[0] * 1e9),
            end_time=int(times[1] * 1e9),
            instrumentation_scope=InstrumentationScope("dragoman", __version__),
        )

    def _call_attributes(self, ended: _Ended, operation: str) -> dict[str, object]:
        record, response = ended.record, ended.response
        stop = response.get("stop_reason")
        values: dict[str, object] = {
            "operation": operation,
            "provider": "anthropic",
            "request_model": record.model,
            **{name: ended.request.get(key) for name, key in _REQUEST_FIELDS.items()},
            "response_id": response.get("id"),
            "response_model": response.get("model"),
            "finish_reasons": [stop] if isinstance(stop, str) else None,
            "first_token": record.stages.get("first_token"),
            "error": record.error,
        }
        if record.usage:
            counts = counts_of(record.usage)
            values |= {
                "input": counts.input_tokens + counts.cached,  # the conventions count cached input as input
                "output": counts.output_tokens,
                "thinking": counts.thinking or None,
                "cache_read": counts.cache_read_input_tokens,
                "cache_write": counts.cache_creation_input_tokens,
            }
        if self._options.content:
            values |= {name: self._text(ended.request.get(name)) for name in ("system", "messages")}
            values["response"] = self._text(response.get("content"))
        names = NAMES[self._options.conventions]
        return {names[name]: value for name, value in values.items()}

    def _text(self, content: object) -> str | None:
        return None if content is None else self._redactor.text(json.dumps(content))


def _own_attributes(record: RunRecord) -> dict[str, object]:
    """Return the attributes of the request, with names of our own where there is no convention."""
    return {
        "http.request.method": "POST",
        "url.path": record.endpoint,
        "error.type": record.error,
        "dragoman.run.id": record.id,
        "dragoman.request.id": record.request,
        "dragoman.client": record.client,
        "dragoman.upstream": record.upstream,
        "dragoman.path": record.path,
        "dragoman.status": record.status,
        "dragoman.cost": record.cost,
        "dragoman.cache.miss": record.cache.get("reason") if record.cache else None,
        **{f"dragoman.stage.{name}": seconds for name, seconds in record.stages.items()},
    }


def _log_failure(error: Exception, pause: float) -> None:
    log.warning("traces.broke", error=str(error), retry_in=pause)
