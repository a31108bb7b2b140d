"""What part of the runs a request to the admin API asks for."""

import re
import time
from datetime import datetime

from starlette.datastructures import QueryParams

from dragoman.errors import InvalidRequest
from dragoman.stores.runs import RunQuery
from dragoman.wire.validation import whole_number

_STATUSES = ("queued", "running", "succeeded", "failed", "cancelled")
_KNOWN = frozenset({"status", "model", "client", "since", "after", "limit"})
_MOST = 500
_AGO = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def query_of(params: QueryParams) -> RunQuery:
    """The query in a request's parameters.

    Raises:
        InvalidRequest: One of them is unknown or makes no sense; `param` names it.
    """
    if unknown := sorted(set(params) - _KNOWN):
        raise InvalidRequest(f"`{unknown[0]}` is no filter: {', '.join(sorted(_KNOWN))}.", param=unknown[0])
    return RunQuery(
        statuses=_statuses(params.getlist("status")),
        model=params.get("model"),
        client=params.get("client"),
        since=_since(params["since"]) if "since" in params else None,
        after=params.get("after"),
        limit=_limit(params.get("limit", "50")),
    )


def _statuses(given: list[str]) -> tuple[str, ...]:
    """As `a,b` or given several times."""
    wanted = tuple(word for part in given for word in part.split(",") if word)
    for word in wanted:
        if word not in _STATUSES:
            raise InvalidRequest(f"`{word}` is no status: {', '.join(_STATUSES)}.", param="status")
    return wanted


def _since(text: str) -> float:
    """Seconds since 1970, from a time or how long ago it is."""
    if (ago := _AGO.fullmatch(text)) and (count := whole_number(ago[1])) is not None:
        return time.time() - count * _SECONDS[ago[2]]
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise InvalidRequest(
            f"`{text[:40]}` is no time: write `15m`, `2h`, `7d`, `2026-01-31T12:00` or seconds since 1970.",
            param="since",
        ) from None


def _limit(text: str) -> int:
    limit = whole_number(text)
    if limit is None or not 1 <= limit <= _MOST:
        raise InvalidRequest(f"`limit` is a number from 1 to {_MOST}.", param="limit")
    return limit
