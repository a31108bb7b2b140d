"""One request and what is known of it: made at the door, filled on the way, read by the log and the metrics."""

import re
import secrets
import time
from collections.abc import Sequence
from typing import cast

from starlette.types import Message, Scope, Send

from dragoman.core.errors import GatewayError
from dragoman.core.warnings import RequestWarning
from dragoman.runs.run import Run

RawHeaders = list[tuple[bytes, bytes]]

NO_SUCH_METHOD = 405
CLIENT_GONE = 499
"""What the log says where the client left before its answer; no status is sent then."""

_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_KEY = "dragoman.exchange"


class RequestContext:
    """A request under way. It belongs to one request and is never shared.

    Attributes:
        id: The request's id: the client's own, if it is sane.
        method: `GET`, `POST`, ….
        path: The path without its query.
        headers: The request's headers, by lower-case name.
        client: Who asks, as runs and limits know them.
        known: Whether a right key was sent, or none is needed.
        agents: Whether whoever asks may start agents.
        extra: Headers that every answer to this request gets.
        status: The status that was sent; 0 before.
        runs: The runs that answer.
        error: What it was refused for, or what ended its answer.
        asked: What was asked for, as far as it may be logged.
        warnings: What the client is warned of, beside what the runs know.
        stages: Seconds spent on the request before its runs.
        began: When it came, on the clock of `time.perf_counter`.
    """

    __slots__ = (
        "_send",
        "agents",
        "asked",
        "began",
        "client",
        "error",
        "extra",
        "headers",
        "id",
        "known",
        "method",
        "path",
        "runs",
        "scope",
        "stages",
        "status",
        "warnings",
    )

    runs: Sequence[Run]

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.id = _request_id(self.headers.get(b"x-request-id"))
        self.extra: RawHeaders = [(b"x-request-id", self.id.encode())]
        self.client = "local"
        self.known = False
        self.agents = False
        self.status = 0
        self.runs = ()
        self.error: GatewayError | None = None
        self.asked: dict[str, object] = {}
        self.warnings: tuple[RequestWarning, ...] = ()
        self.stages: dict[str, float] = {}
        self.began = time.perf_counter()
        scope[_KEY] = self

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self.began

    async def send(self, message: Message) -> None:
        """Send a part of the answer, with what every answer gets."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.extra]
        await self._send(message)


def get_context(scope: Scope) -> RequestContext:
    """The exchange that a scope belongs to."""
    return cast("RequestContext", scope[_KEY])


def _request_id(sent: bytes | None) -> str:
    if sent is not None and _SANE_ID.fullmatch(sent):
        return sent.decode()
    return f"req_{secrets.token_hex(16)}"
