"""The text of `dragoman status`."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import click

from dragoman.cli.instances import InstanceRecord
from dragoman.cli.terminal import format_age

_JSONObject: TypeAlias = Mapping[str, object]

_AUTHENTICATION = {
    "signed_in": "your own Claude Code sign-in",
    "api_key": "API key",
    "auth_token": "bearer token",
    "none": "no API key and no sign-in",
}
_SIGN_IN_STATES = {
    "signed_out": "signed out: run `dragoman login`",
    "unknown": "state unknown: `claude auth status` does not report it",
}
_COUNT_LABELS = {"spare": "warm"}
"""What a count is called, where the name in the JSON response differs."""
_VERSION_LABELS = {
    "python": "Python",
    "anthropic_version": "Messages API",
    "claude_code": "Claude Code",
    "claude_agent_sdk": "claude-agent-sdk",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def format_status(address: str, body: _JSONObject, record: InstanceRecord | None) -> Iterator[str]:
    """Yield the lines of the report.

    Args:
        address: The URL of the gateway.
        body: Its response to `GET /admin/status`, or to `GET /health/ready` without a key.
        record: Its entry in the registry, if it runs on this machine.
    """
    ready = body.get("status") == "ready"
    state = click.style("ready", fg="green") if ready else click.style("not ready", fg="red")
    yield f"Dragoman {body.get('version', '')}".rstrip() + f" at {address}: {state}"
    if "backend" not in body:
        yield "  Pass the gateway's own key to see more: --admin-key-file or --api-key-file, as the gateway has it."
        return
    if body.get("reason"):
        yield f"  {body['reason']}"
    for name, failure in cast("Mapping[str, str]", body.get("failures") or {}).items():
        yield click.style(f"  {name}: {failure}", fg="yellow")
    backend = cast("_JSONObject", body["backend"])
    details = cast("_JSONObject", backend.get("more") or {})
    yield _line("Process", _process(body, record))
    yield _line("Dashboard", f"{address}/dashboard")
    if workers := cast("Sequence[_JSONObject]", body.get("workers") or ()):
        yield _line("Workers", ", ".join(f"{one['worker']} (pid {one['pid']})" for one in workers))
    if simulator := body.get("simulator"):
        yield _line("Claude", f"simulated at {simulator}: no account, no network")
    if "upstreams" in backend:
        yield from _upstreams(backend, details, simulated=bool(simulator))
    else:
        yield from _account(backend, details, simulated=bool(simulator))
    yield _line("Runs", _runs(cast("_JSONObject", body["runs"])))
    yield _line("Responses", _responses(cast("_JSONObject", body["last"])))
    yield _line("Versions", _versions(body, backend, details))


def format_instance(record: InstanceRecord, status: str) -> str:
    """Return the line of one of several gateways."""
    up = f"up {_duration(time.time() - record.since)}"
    where = "in the background" if record.background else f"in the foreground of {record.directory}"
    color = "green" if status == "ready" else "red"
    return f"{record.address}  {click.style(status.replace('_', ' '), fg=color)}, pid {record.pid}, {up}, {where}"


def _process(body: _JSONObject, record: InstanceRecord | None) -> str:
    parts = [f"pid {body['pid']}", f"up {_duration(cast('float', body['uptime']))}"]
    if record is not None and record.pid == body["pid"]:
        parts += ["in the background" if record.background else "in the foreground"]
        parts += [f"log {record.log}"] if record.log else []
    return ", ".join(parts)


def _account(backend: _JSONObject, details: _JSONObject, indent: str = "", *, simulated: bool) -> Iterator[str]:
    yield _line("Backend", str(backend.get("name") or backend.get("backend")), indent)
    if not simulated:  # the simulator needs no account
        yield _line("Claude", _authentication(backend, cast("_JSONObject", details.get("sign_in") or {})), indent)
    for kind in ("processes", "connections"):
        if isinstance(counts := backend.get(kind), Mapping):
            parts = [f"{count} {_COUNT_LABELS.get(name, name)}" for name, count in counts.items()]
            yield _line(kind.capitalize(), ", ".join(parts), indent)


def _upstreams(backend: _JSONObject, details: _JSONObject, *, simulated: bool) -> Iterator[str]:
    for name, upstream in cast("Mapping[str, _JSONObject]", backend["upstreams"]).items():
        state = str(upstream["state"])
        reason = f": {upstream['reason']}" if upstream.get("reason") else ""
        yield _line("Upstream", f"{name}, {click.style(state, fg='green' if state == 'ready' else 'yellow')}{reason}")
        yield from _account(upstream, cast("_JSONObject", details.get(name) or {}), "  ", simulated=simulated)
        if budget := cast("_JSONObject | None", upstream.get("budget")):
            spent, daily = budget["spent_dollars"], budget["daily_dollars"]
            yield _line("Budget", f"${spent} of ${daily} spent until {budget['resets']}", "  ")


def _authentication(backend: _JSONObject, sign_in: _JSONObject) -> str:
    kind = str(backend.get("authentication"))
    text = _AUTHENTICATION.get(kind, kind)
    state, expires = str(sign_in.get("state")), sign_in.get("expires")
    method = f" ({sign_in['method']})" if sign_in.get("method") not in {None, "none"} else ""
    if state == "expired":
        return f"{text}{method}, " + click.style(f"expired at {expires}: run `dragoman login`", fg="red")
    if refused := sign_in.get("refused_since"):
        return f"{text}{method}, " + click.style(f"refused by Claude for {format_age(refused)}", fg="red")
    if state in _SIGN_IN_STATES:
        return f"{text}, {_SIGN_IN_STATES[state]}"
    return f"{text}{method}" + (f", valid until {expires}" if expires else "")


def _runs(runs: _JSONObject) -> str:
    return f"{runs['running']} of {runs['places']} running, {runs['queued']} of {runs['queue_size']} queued"


def _responses(last: _JSONObject) -> str:
    succeeded = f"last success {format_age(last['succeeded'])} ago" if last["succeeded"] else "none yet"
    if not (failed := cast("_JSONObject | None", last["failed"])):
        return succeeded
    where = f" at {failed['upstream']}" if failed.get("upstream") else ""
    return f"{succeeded}; last failure {format_age(failed['at'])} ago{where}: {failed['error']} ({failed['run']})"


def _versions(body: _JSONObject, backend: _JSONObject, details: _JSONObject) -> str:
    versions = {"python": body["python"], "anthropic_version": backend.get("anthropic_version")}
    for source in (*(upstream for upstream in details.values() if isinstance(upstream, Mapping)), details):
        versions |= source
    known = {name: value for name, value in versions.items() if name in _VERSION_LABELS and value}
    return ", ".join(f"{_VERSION_LABELS[name]} {value}" for name, value in known.items())


def _duration(seconds: float) -> str:
    """Format a duration in its two largest units, such as `2 h 5 m`."""
    units = (("d", _DAY, None), ("h", _HOUR, 24), ("m", _MINUTE, 60), ("s", 1, 60))
    parts = [(int(seconds // size) % (wrap or 10**9), letter) for letter, size, wrap in units]
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {letter}" for count, letter in parts[first : first + 2])


def _line(label: str, text: str, indent: str = "") -> str:
    return f"  {indent}{label:12}{text}"
