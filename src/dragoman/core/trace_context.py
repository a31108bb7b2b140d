"""The trace that a request belongs to, as the header `traceparent` carries it.

Source: https://www.w3.org/TR/trace-context/
"""

import os
import re

from dragoman.core.value_object import replace, value_object

_FORM = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


@value_object
class TraceContext:
    """The position of a run in a trace.

    Attributes:
        trace_id: The trace: 16 bytes.
        parent_id: The client's span: 8 bytes; None: the trace begins here.
        span_id: The span of the call of the model: 8 bytes.
        is_sampled: Whether the trace is recorded.
    """

    trace_id: int
    parent_id: int | None
    span_id: int
    is_sampled: bool = True

    @classmethod
    def new(cls) -> "TraceContext":
        """Return a trace that begins here."""
        return cls(_random(16), None, _random(8))

    @classmethod
    def of(cls, header: bytes | None) -> "TraceContext | None":
        """Return the client's trace; None if the header is missing or invalid."""
        found = _FORM.fullmatch(header) if header else None
        if found is None or (found[1] == b"00" and found[5]):
            return None
        return cls(int(found[2], 16), int(found[3], 16), _random(8), bool(int(found[4], 16) & _SAMPLED))

    @property
    def id(self) -> str:
        """The id of the trace, as the header has it."""
        return f"{self.trace_id:032x}"

    def of_run(self) -> "TraceContext":
        """Return the position of one run in the trace. A request with several choices has several runs."""
        return replace(self, span_id=_random(8))

    @property
    def header(self) -> str:
        """The header for the call of the model."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.is_sampled):02x}"


def _random(size: int) -> int:
    return int.from_bytes(os.urandom(size)) or 1
