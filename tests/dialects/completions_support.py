"""Helpers for tests of the text completions dialect."""

import json
from collections.abc import Sequence
from typing import Any

from chat_support import IDENTITY, OLD

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.catalog import Catalog
from dragoman.core.events import MessageEvent
from dragoman.core.messages import JSON
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.completions.dialect import CompletionsDialect
from dragoman.dialects.completions.request import CompletionRequest


def dialect(**options: Any) -> CompletionsDialect:
    """Return the dialect with the operator's options."""
    return CompletionsDialect(Catalog, DialectOptions(**options))


def raw(prompt: JSON, *, model: str = OLD, **fields: JSON) -> bytes:
    """Return a request body."""
    return json.dumps({"model": model, "prompt": prompt, **fields}).encode()


def decode(prompt: JSON, *, model: str = OLD, **fields: JSON) -> CompletionRequest:
    """Decode a request with the default options."""
    return dialect().decode(raw(prompt, model=model, **fields))


def warned(request: CompletionRequest) -> list[tuple[str, str]]:
    """Return the code and the field of each warning."""
    return [(warning.code, warning.param) for warning in request.warnings]


def plain(request: CompletionRequest, *answers: AccumulatedMessage) -> Any:
    """Return the plain response's body, parsed."""
    return json.loads(dialect().encode(request, IDENTITY, answers))


def streamed(request: CompletionRequest, *runs: Sequence[MessageEvent]) -> bytes:
    """Return the whole stream, one run after the other."""
    stream = dialect().encode_stream(request, IDENTITY)
    out = [stream.feed(event, choice) for choice, run in enumerate(runs) for event in run]
    return b"".join([*out, stream.finish()])
