"""Write `docs/log-events.md`: every event that the code logs, with its levels and its fields, read from the source."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

from dragoman.core.log import RANKS

SOURCE = Path(__file__).parents[2] / "src" / "dragoman"

_HEAD = """\
# Events of the log

Every event that the gateway logs, with its fields. [operate.md](operate.md#log) describes levels and files. An event
with two levels has the higher one if it reports an error. Each event also has `event`, `level` and `time`. A field
without a value is left out.
"""
_FIELDS_HEAD = "## Fields\n\nAll fields, with what each contains. Names of one meaning are the same in all events.\n"

WHEN: Mapping[str, str] = MappingProxyType(
    {
        "access.store_broke": "keys and teams cannot be stored; the gateway uses those that it knows, and tries again",
        "access.unread": "keys and teams cannot be read; the gateway uses those that it knows, and tries again",
        "answer.message": "a response is complete",
        "answer.not_kept": "a response was sent, but could not be stored; `archive.broke` has the reason",
        "answer.tool_calls": "a response with tool calls is complete",
        "api.credentials": "a sign-in of the backend `api` cannot be used",
        "archive.broke": "the file of stored responses cannot be used",
        "budget.unknown": "the spending of an upstream could not be read",
        "cache.away": "the response cache is in a Redis server that cannot be reached",
        "cache.broke": "a response could not be cached",
        "cli.ended": "a `claude -p` process ended unexpectedly",
        "cli.output_lost": "the output of a `claude -p` run could not be written to its file",
        "database.other_key": "this node has another encryption key than the others; see [cluster.md](cluster.md)",
        "deferred.broke": "a bug of the gateway, in a log line or a count of a request",
        "embeddings.body": "an embeddings request was decoded",
        "embeddings.broke": "the embedding model failed",
        "embeddings.loaded": "the embedding model is ready",
        "http.broke": "a bug of the gateway, in a request",
        "http.cancelled": "requests did not end within `--shutdown-grace` and 5 seconds",
        "http.error": "a request was refused, or ended with an error",
        "http.invalid": "a client sent what is not HTTP/1.1, which is refused with 400, or asked for another protocol",
        "http.request": "a request ended; a warning if it failed with 401, 402, 429 or 5xx, also inside a stream",
        "job.broke": "a bug of the gateway, in a background response",
        "job.handed_over": "a queued background response was left to another process, because this one stops",
        "job.renewal_broke": "the leases of background responses could not be renewed; the task restarts",
        "job.search_broke": "queued background responses of other processes could not be looked for; the task restarts",
        "job.taken": "another gateway cancelled or deleted a background response",
        "job.taken_over": "a queued background response of a process that stops or was killed is generated here",
        "keep.broke": "a file of the state directory cannot be used",
        "ledger.no_refill": "what limits have left cannot be read; they are closed when what is borrowed is used up",
        "ledger.outbox_broke": "a file in `outbox/` cannot be written: if the gateway is killed now, the cost of its "
        "last runs may be lost",
        "ledger.recovered": "what a process that has ended had left was added to the ledger",
        "ledger.store_broke": "the ledger cannot be used; the gateway tries again",
        "ledger.unread": "the ledger cannot be read; the gateway tries again",
        "ledger.unwritten": "the ledger cannot be written; the gateway tries again",
        "limits.lost": "Redis has lost the limits, and they begin again; see [cluster.md](cluster.md#redis)",
        "limits.not_removed": "Redis still has what a process that is gone had borrowed, until its lease ends",
        "limits.unreported": "what is borrowed could not be written to Redis; the gateway tries again",
        "library.said": "a library logged a message",
        "log.payloads": "from here on, the log contains prompts and responses",
        "models.unlisted": "the list of models could not be fetched",
        "nodes.unknown": "the list of nodes could not be read, or other nodes do not learn what is held here",
        "peers.broke": "a question of another worker or node could not be answered",
        "processes.callback_failed": "a process wrote what the gateway cannot process; its run failed with "
        "`runtime_failed`",
        "processes.no_guard": "if the gateway is killed, its processes would continue to run",
        "recordings.broke": "responses of requests with an `Idempotency-Key` cannot be stored",
        "recordings.not_kept": "the response of a request with an `Idempotency-Key` is too large to be stored",
        "redis.away": "the Redis server cannot be reached; see [cluster.md](cluster.md#redis)",
        "redis.back": "the Redis server can be reached again",
        "request.body": "a request arrived",
        "request.understood": "a request was decoded",
        "run.broke": "a bug of the gateway, in a run",
        "run.end": "a run ended",
        "run.event": "an event occurred in a run",
        "run.rejected": "the output did not match what the request asked for",
        "runs.lost": "records of runs can never be written; a bug of the gateway",
        "runs.store_broke": "records of runs cannot be used; runs continue, and the gateway tries again",
        "runs.unwritten": "records of runs cannot be written; runs continue, and the gateway tries again",
        "runtime.asked": "the runtime requested something it was not offered, for example a permission",
        "runtime.boot_failed": "a process did not start",
        "runtime.ended": "a process ended unexpectedly",
        "runtime.message": "a process sent a message",
        "runtime.no_transcripts": "the runtime failed the test at the start: long conversations are replayed message "
        "by message",
        "runtime.started": "a process was started",
        "runtime.stderr": "a process wrote to stderr",
        "seal.forgotten": "the key in the state directory cannot be read or written",
        "server.start": "the gateway started; each worker logs its own",
        "server.stop": "the gateway stopped",
        "server.stop_failed": "a stage of the stop failed; running requests still end as usual",
        "sign_in.check_failed": "the state of the sign-in could not be read; the check is repeated",
        "traces.broke": "the task that sends traces failed; it restarts",
        "traces.dropped": "more runs ended than the collector took; the spans of the oldest are lost",
        "traces.unsent": "spans could not be sent to the collector, and are lost",
        "upstream.failed": "one of several upstreams failed",
        "worker.ended": "a worker died and is started again",
    }
)
"""When each event is logged."""

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "address": "the address of the gateway",
        "again": "whether it starts again",
        "again_in": "seconds until the next attempt",
        "argv": "the command line",
        "backend": "the backend",
        "body": "the body; in `request.understood` as it is sent to Claude",
        "bytes": "the size of the response",
        "cache": "what the response cache did, if it is on",
        "calls": "the tool calls",
        "choices": "the number of choices asked for",
        "client": "the client key's name",
        "code": "the code of an error, or the exit code of a process",
        "count": "how many",
        "disconnect": "why a client left before its response was complete",
        "error": "the error code, or the reason",
        "exception": "the traceback",
        "frame": "the message; for a piece of a response, its length",
        "got": "the event; for a piece of a response, its length",
        "headers": "the headers of the request",
        "id": "the id of the response",
        "inputs": "the inputs of an embeddings request; in `http.request` their number",
        "kind": "the kind of the event",
        "lines": "what was written",
        "max_tokens": "the longest input of the model",
        "means": "what follows from it",
        "message": "the words of the error, without what the client quoted; in `http.error` with it; in "
        "`answer.message` the whole message",
        "messages": "the number of messages in the request",
        "method": "the HTTP method",
        "model": "the model: in `http.request` as the client named it",
        "ms": "milliseconds from the first byte to the end",
        "note": "a warning",
        "param": "the field that the error is about",
        "path": "the path of the request; of a run, the kind of process; of a store, the file",
        "peer": "the client's address",
        "pid": "the process",
        "problem": "the kind of problem",
        "reason": "why",
        "request": "the request id, as in the header `x-request-id`",
        "rests": "seconds that the upstream rests",
        "retries": "how often the API was called again",
        "retry_in": "seconds until the next attempt",
        "rows": "how many rows",
        "run": "the run id, as in the header `x-dragoman-run-id`",
        "runs": "the ids of all runs of the request",
        "source": "the library",
        "stages": "seconds of each stage",
        "status": "the HTTP status, or the status of the run",
        "stderr": "the end of its stderr",
        "stream": "whether the response is streamed",
        "subtype": "what was requested",
        "text": "the message",
        "tokens": "the tokens of an embeddings request",
        "trace": "the trace id, as in the header `traceparent`; if the client sends one or traces are on",
        "upstream": "the upstream",
        "usage": "the tokens, as the API counts them",
        "version": "the version of the gateway",
        "warnings": "the codes of warnings; in `request.understood` the warnings",
        "what": "which part",
        "worker": "the number of the worker, or the process of another node",
    }
)
"""What each field contains."""

_ERROR_FIELDS = ("error", "param", "message")
"""What `facts_of` adds: see `dragoman.core.errors`."""


@dataclass
class Event:
    """An event, as the code logs it."""

    levels: set[str] = field(default_factory=set)
    fields: dict[str, None] = field(default_factory=dict)


@cache
def events() -> Mapping[str, Event]:
    """Return all events that the code logs, by name."""
    found: dict[str, Event] = {
        "library.said": Event({"warning", "error"}, dict.fromkeys(("source", "text", "exception")))
    }
    of_requests: list[str] = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=function),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    event = found.setdefault(name, Event())
                    event.levels |= {*_levels(function, node)}
                    event.fields |= dict.fromkeys(_fields(node))
                case ast.Assign(targets=[target], value=value) | ast.AugAssign(target=target, value=value):
                    of_requests += _log_fields(target, value)
                case _:
                    pass
    found["http.request"].fields |= dict.fromkeys(of_requests)
    return found


def log_events_page() -> str:
    """Return the text of the page.

    Raises:
        KeyError: An event or a field has no description in this module.
    """
    rows = [_row(name, event) for name, event in sorted(events().items())]
    names = sorted({name for event in events().values() for name in event.fields})
    fields = [f"| `{name}` | {FIELDS[name]} |" for name in names]
    table = ["| event | level | when | fields |", "|---|---|---|---|", *rows]
    return "\n".join([_HEAD, *table, "", _FIELDS_HEAD, "| field | contains |", "|---|---|", *fields, ""])


def _row(name: str, event: Event) -> str:
    levels = ", ".join(sorted(event.levels, key=RANKS.__getitem__))
    return f"| `{name}` | {levels} | {WHEN[name]} | {', '.join(f'`{one}`' for one in event.fields)} |"


def _levels(function: str, call: ast.Call) -> Iterator[str]:
    """Yield the levels at which a call logs: the function's, or those that its argument `level` may have."""
    given = next((one.value for one in call.keywords if one.arg == "level"), None)
    if given is None:
        yield "error" if function == "exception" else function
        return
    yield from (str(part.value) for part in ast.walk(given) if isinstance(part, ast.Constant) and part.value in RANKS)


def _fields(call: ast.Call) -> Iterator[str]:
    """Yield the names of the fields of a call, in their order."""
    for keyword in call.keywords:
        if keyword.arg == "exc_info":
            yield "exception"
        elif keyword.arg is not None and keyword.arg != "level":
            yield keyword.arg
        elif "facts_of" in ast.unparse(keyword.value):
            yield from _ERROR_FIELDS
        elif isinstance(keyword.value, ast.Name):
            yield "worker"  # the facts of a worker, in `server.start`
    if isinstance(call.func, ast.Attribute) and call.func.attr == "exception":
        yield "exception"


def _log_fields(target: ast.expr, value: ast.expr) -> Iterator[str]:
    """Yield the fields that an assignment adds to `http.request`; see `RequestContext.log_fields`."""
    match target, value:
        case ast.Subscript(value=ast.Attribute(attr="log_fields"), slice=ast.Constant(value=str(name))), _:
            yield name
        case ast.Attribute(attr="log_fields"), ast.Dict(keys=keys):
            yield from (str(key.value) for key in keys if isinstance(key, ast.Constant))
        case _:
            pass
