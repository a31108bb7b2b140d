"""How a gateway does, in words."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias, cast

import click

from dragoman.cli.instances import InstanceRecord
from dragoman.cli.terminal import ago

_Told: TypeAlias = Mapping[str, object]

_ACCOUNTS = {
    "signed_in": "your own Claude Code sign-in",
    "api_key": "API key",
    "auth_token": "bearer token",
    "none": "no API key and no sign-in",
}
_SIGN_INS = {
    "signed_out": "signed out: type `dragoman login`",
    "unknown": "`claude auth status` does not say how it stands",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def status_lines(address: str, told: _Told, record: InstanceRecord | None) -> Iterator[str]:
    """The lines.

    Args:
        address: Where the gateway is.
        told: What it tells of itself.
        record: What it left to be found by, if it runs here.
    """
    ready = told.get("status") == "ready"
    state = click.style("ready", fg="green") if ready else click.style("not ready", fg="red")
    yield f"Dragoman {told.get('version', '')}".rstrip() + f" at {address}: {state}"
    if "backend" not in told:
        yield "  The gateway tells more to those who give its key: --api-key-file, DRAGOMAN_API_KEY or --api-key."
        return
    if told.get("reason"):
        yield f"  {told['reason']}"
    backend = cast("_Told", told["backend"])
    more = cast("_Told", backend.get("more") or {})
    yield _line("Process", _process(told, record))
    if simulator := told.get("simulator"):
        yield _line("Claude", f"simulated at {simulator}: no account, no network")
    if "upstreams" in backend:
        yield from _upstreams(backend, more, simulated=bool(simulator))
    else:
        yield from _account(backend, more, simulated=bool(simulator))
    yield _line("Runs", _runs(cast("_Told", told["runs"])))
    yield _line("Answers", _answers(cast("_Told", told["last"])))
    yield _line("Versions", _versions(told, backend, more))


def _process(told: _Told, record: InstanceRecord | None) -> str:
    parts = [f"pid {told['pid']}", f"up {_span(cast('float', told['uptime']))}"]
    if record is not None and record.pid == told["pid"]:
        parts += ["in background" if record.background else "in the foreground"]
        parts += [f"log {record.log}"] if record.log else []
    return ", ".join(parts)


def _account(backend: _Told, more: _Told, indent: str = "", *, simulated: bool) -> Iterator[str]:
    yield _line("Backend", str(backend.get("name") or backend.get("backend")), indent)
    if not simulated:  # no account is asked, whatever was set
        yield _line("Claude", _authentication(backend, cast("_Told", more.get("sign_in") or {})), indent)
    for kind in ("processes", "connections"):
        if isinstance(counts := backend.get(kind), Mapping):
            yield _line(kind.capitalize(), ", ".join(f"{count} {what}" for what, count in counts.items()), indent)


def _upstreams(backend: _Told, more: _Told, *, simulated: bool) -> Iterator[str]:
    for name, upstream in cast("Mapping[str, _Told]", backend["upstreams"]).items():
        state = str(upstream["state"])
        why = f": {upstream['reason']}" if upstream.get("reason") else ""
        yield _line("Upstream", f"{name}, {click.style(state, fg='green' if state == 'ready' else 'yellow')}{why}")
        yield from _account(upstream, cast("_Told", more.get(name) or {}), "  ", simulated=simulated)
        if budget := cast("_Told | None", upstream.get("budget")):
            spent, daily = budget["spent_dollars"], budget["daily_dollars"]
            yield _line("Budget", f"${spent} of ${daily} spent until {budget['resets']}", "  ")


def _authentication(backend: _Told, sign_in: _Told) -> str:
    kind = str(backend.get("authentication"))
    words = _ACCOUNTS.get(kind, kind)
    state, expires = str(sign_in.get("state")), sign_in.get("expires")
    method = f" ({sign_in['method']})" if sign_in.get("method") not in {None, "none"} else ""
    if state == "expired":
        return f"{words}{method}, " + click.style(f"expired at {expires}: type `dragoman login`", fg="red")
    if refused := sign_in.get("refused_since"):
        since = click.style(f"refused by Claude for {ago(refused)}", fg="red")
        return f"{words}{method}, {since}"
    if state in _SIGN_INS:
        return f"{words}, {_SIGN_INS[state]}"
    return f"{words}{method}" + (f", until {expires}" if expires else "")


def _runs(runs: _Told) -> str:
    return f"{runs['running']} of {runs['places']} running, {runs['queued']} of {runs['queue_size']} waiting"


def _answers(last: _Told) -> str:
    succeeded = f"the last one {ago(last['succeeded'])} ago" if last["succeeded"] else "none yet"
    if not (failed := cast("_Told | None", last["failed"])):
        return succeeded
    where = f" at {failed['upstream']}" if failed.get("upstream") else ""
    return f"{succeeded}; the last failure {ago(failed['at'])} ago{where}: {failed['error']} ({failed['run']})"


def _versions(told: _Told, backend: _Told, more: _Told) -> str:
    names = {"claude_code": "Claude Code", "claude_agent_sdk": "claude-agent-sdk"}
    ours = {"python": told["python"], "anthropic_version": backend.get("anthropic_version")}
    nested = [upstream for upstream in more.values() if isinstance(upstream, Mapping)]
    found = ours | {name: value for told_of in (*nested, more) for name, value in told_of.items()}
    labels = {"python": "Python", "anthropic_version": "Messages API", **names}
    return ", ".join(f"{labels[name]} {value}" for name, value in found.items() if name in labels and value)


def _span(seconds: float) -> str:
    """How long something has gone on, in its two largest figures."""
    units = (("d", _DAY, None), ("h", _HOUR, 24), ("m", _MINUTE, 60), ("s", 1, 60))
    parts = [(int(seconds // size) % (wrap or 10**9), letter) for letter, size, wrap in units]
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {letter}" for count, letter in parts[first : first + 2])


def _line(label: str, words: str, indent: str = "") -> str:
    return f"  {indent}{label:12}{words}"
