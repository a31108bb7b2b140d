"""What an answer's headers tell beside it."""

import json
from collections.abc import Iterable, Mapping

from dragoman.notices import Notice
from dragoman.runs import Engine, Run
from dragoman.server.exchange import RawHeaders

_MOST_WARNINGS = 20
_LONGEST_PARAM = 60


def run_headers(runs: Iterable[Run], notices: tuple[Notice, ...]) -> RawHeaders:
    """The headers that tell of the first run, with the warnings of all."""
    runs = list(runs)
    first = runs[0]
    headers: RawHeaders = [(b"x-dragoman-run-id", first.id.encode())]
    if first.path is not None:
        headers.append((b"x-dragoman-path", first.path.encode()))
    if first.upstream is not None:
        headers.append((b"x-dragoman-upstream", first.upstream.encode()))
    headers += warning_headers(dict.fromkeys([*notices, *(notice for run in runs for notice in run.notices)]))
    if first.stages:
        headers.append((b"server-timing", _timing(first.stages)))
    return headers


def warning_headers(notices: Iterable[Notice]) -> RawHeaders:
    """The header that names what was ignored, clamped or mapped, if anything was."""
    notices = list(notices)
    return [(b"x-dragoman-warnings", _warnings(notices))] if notices else []


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


def _warnings(notices: Iterable[Notice]) -> bytes:
    """Short, since proxies refuse long headers, and pure ASCII: names of fields are whatever the client wrote."""
    short = [{"code": notice.code, "param": notice.param[:_LONGEST_PARAM]} for notice in notices]
    return json.dumps(short[:_MOST_WARNINGS], separators=(",", ":")).encode()


def _timing(stages: Mapping[str, float]) -> bytes:
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in stages.items()).encode()
