"""The figures of a run, as people read them."""

import time
from collections.abc import Mapping

_LEAST = 0.0001
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def tokens(run: Mapping[str, object]) -> str:
    """Tokens in and out."""
    usage = run["usage"]
    if not isinstance(usage, Mapping):
        return "-"
    read = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    taken = sum(count for name in read if isinstance(count := usage.get(name), int))
    return f"{taken} + {usage.get('output_tokens', 0)}"


def dollars(run: Mapping[str, object]) -> str:
    """What it cost."""
    cost = run["cost"]
    if not isinstance(cost, int | float):
        return "-"
    return f"<${_LEAST}" if 0 < cost < _LEAST else f"${cost:.4f}"


def took(run: Mapping[str, object]) -> str:
    """How long it took, or has taken so far."""
    stages, created = run["stages"], run["created"]
    if isinstance(stages, Mapping) and isinstance(total := stages.get("total"), int | float):
        return f"{total:.2f} s"
    if run["status"] in {"queued", "running"} and isinstance(created, int | float):
        return f"{time.time() - created:.1f} s"
    return "-"


def ago(moment: object) -> str:
    """How long ago a moment was, in one figure."""
    seconds = int(time.time() - float(str(moment)))
    for unit, letter in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= unit:
            return f"{seconds // unit} {letter}"
    return f"{max(0, seconds)} s"
