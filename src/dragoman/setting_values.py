"""Values of settings, as people write them."""

import json
from pathlib import Path

_SWITCHES = {"on": "on", "true": "on", "1": "on", "off": "off", "false": "off", "0": "off"}


def names(value: object) -> object:
    """`a,b` as people write lists in variables."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def switch_or_names(value: object) -> object:
    """`on`, `off` (or `true`, `false`), or a list; as a tuple in any case."""
    if isinstance(value, (list, tuple)):
        value = ",".join(map(str, value))
    if not isinstance(value, (str, bool)):
        return value
    switch = _SWITCHES.get(str(value).strip().lower())
    listed = (switch,) if switch else names(value)
    if isinstance(listed, tuple) and len(listed) > 1 and not _SWITCHES.keys().isdisjoint(listed):
        raise ValueError("write `on`, `off`, or a list of hosts")
    return listed


def pairs(value: object) -> object:
    """`name=model,other=model` or a JSON object."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return json.loads(value)
    found = [part.split("=", 1) for part in value.split(",") if part.strip()]
    if any(len(pair) != len(("name", "model")) for pair in found):
        raise ValueError("write it as name=model,other=model")
    return {name.strip(): model.strip() for name, model in found}


def backend_name(value: object) -> object:
    """The backend's own name, for an alias of it."""
    if value in {"api", "cli"}:
        raise ValueError(f"the backend `{value}` is not in this version; use `runtime`")
    return "runtime" if value == "sdk" else value


def state_dir() -> Path:
    """The platform's directory for our own files."""
    from platformdirs import user_state_path  # noqa: PLC0415 - only where no directory is given

    return user_state_path("dragoman")
