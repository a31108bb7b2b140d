"""What an answer's headers tell beside it."""

import json
from collections.abc import Collection, Mapping, Sequence

from dragoman.notices import Notice
from dragoman.runs import Engine, Run
from dragoman.server.exchange import Exchange, RawHeaders

_MOST_WARNINGS = 20
_LONGEST_PARAM = 60


def answer_headers(exchange: Exchange, runs: Sequence[Run]) -> RawHeaders:
    """The headers that tell of the first run that answers, of the time before it, and the warnings of all.

    An error has them as well, as far as it got.
    """
    headers: RawHeaders = []
    notices, stages = exchange.notices, exchange.stages
    if runs:
        first = runs[0]
        headers.append((b"x-dragoman-run-id", first.id.encode()))
        if first.path is not None:
            headers.append((b"x-dragoman-path", first.path.encode()))
        if first.upstream is not None:
            headers.append((b"x-dragoman-upstream", first.upstream.encode()))
        if notices or any(run.notices for run in runs):
            notices = tuple(dict.fromkeys([*notices, *(notice for run in runs for notice in run.notices)]))
        stages = {**stages, **first.stages}
    headers.append((b"x-dragoman-warnings", _warnings(notices)))
    if stages:
        headers.append((b"server-timing", _timing(stages)))
    return headers


def warning_headers(notices: Collection[Notice]) -> RawHeaders:
    """The header that names what was ignored, clamped or mapped: an empty list where nothing was."""
    return [(b"x-dragoman-warnings", _warnings(notices))]


def rate_headers(engine: Engine) -> RawHeaders:
    """How much of the minute's requests is left, as the OpenAI API tells it."""
    limit, left = engine.rate.per_minute, engine.rate.remaining
    if limit is None or left is None:
        return []
    seconds = (limit - left) * 60 / limit
    return [
        (b"x-ratelimit-limit-requests", str(limit).encode()),
        (b"x-ratelimit-remaining-requests", str(left).encode()),
        (b"x-ratelimit-reset-requests", f"{seconds:.3f}s".encode()),
    ]


def _warnings(notices: Collection[Notice]) -> bytes:
    """Short, since proxies refuse long headers, and pure ASCII: names of fields are whatever the client wrote."""
    if not notices:
        return b"[]"
    short = [{"code": notice.code, "param": notice.param[:_LONGEST_PARAM]} for notice in notices]
    return json.dumps(short[:_MOST_WARNINGS], separators=(",", ":")).encode()


def _timing(stages: Mapping[str, float]) -> bytes:
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in stages.items()).encode()
