"""The limits of the operator's plan, as a signed-in official runtime reports them in `rate_limit_event` frames."""

import time
from collections.abc import Callable
from typing import cast

from dragoman.core.messages import JSON, JSONObject


class PlanLimits:
    """What a runtime reported last. It reports a change after a response, and nothing before the first response.

    Args:
        clock: Seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._report: JSONObject | None = None

    def note(self, info: JSON) -> None:
        """Note the `rate_limit_info` of a frame. Parts of another form than expected are left out."""
        if not isinstance(info, dict):
            return
        given = info.get("unifiedWindows")
        named = {name: one for name, one in given.items() if isinstance(one, dict)} if isinstance(given, dict) else {}
        if isinstance(name := info.get("rateLimitType"), str) and name not in named:
            named[name] = info
        self._report = {
            "status": _text(info.get("status")),
            "reported": self._clock(),
            "windows": [_window(name, one) for name, one in named.items()],
        }

    def report(self) -> JSONObject | None:
        """Return the limits as JSON, for the operator alone; None: the runtime has not reported any.

        `used` is the used share of a window, 1.0 for all of it. `resets` and `reported` are seconds since 1970.
        """
        return self._report


def _window(name: str, info: JSONObject) -> JSON:
    return cast(
        "JSON",
        {
            "name": name,
            "status": _text(info.get("status")),
            "used": _number(info.get("utilization")),
            "resets": _number(info.get("resetsAt")),
        },
    )


def _text(value: JSON) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: JSON) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
