"""What the tests of the responses dialect share: requests in one line, and checked streams."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from chat_support import IDENTITY, OLD, WEATHER_SCHEMA, passed_on, script

from dragoman.core.accumulate import accumulate
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError
from dragoman.core.events import MessageEvent
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.responses.dialect import ResponsesDialect
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.dialects.shared import sse
from dragoman.dialects.shared.sealing import ReasoningCipher

NOW = 1_760_000_009
WEATHER: JSONObject = {"type": "function", "name": "get_weather", "parameters": WEATHER_SCHEMA}
PATCH: JSONObject = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
}
PATCH_CALL: JSONObject = {"type": "tool_use", "id": "toolu_9", "name": "apply_patch", "input": {"input": 'a "b"\n\\ü'}}


class DeterministicCipher:
    """Encrypts equal bytes to equal bytes, so that responses can be compared."""

    def encrypt(self, value: bytes, name: str) -> bytes:
        """Put a hash before the value."""
        return hashlib.sha256(name.encode() + value).digest() + value

    def decrypt(self, encrypted: bytes, name: str) -> bytes | None:
        """Return the value if the hash matches."""
        value = encrypted[32:]
        return value if self.encrypt(value, name) == encrypted else None


CIPHER = ReasoningCipher(DeterministicCipher())


def dialect(**options: Any) -> ResponsesDialect:
    """Return the dialect, with the operator's options."""
    return ResponsesDialect(Catalog, DialectOptions(cipher=CIPHER, **options), lambda: NOW + 0.5)


def raw(input_: JSON = "ping", *, model: str = OLD, **fields: Any) -> bytes:
    """Return a request's body."""
    return json.dumps({"model": model, "input": input_, **fields}).encode()


def decode(input_: JSON = "ping", *, model: str = OLD, **fields: Any) -> ResponsesRequest:
    """Decode a request with the default options."""
    return dialect().decode(raw(input_, model=model, **fields))


def decode_error(input_: JSON = "ping", *, model: str = OLD, **fields: Any) -> tuple[str | None, str | None]:
    """Return the code and the field of the error for an invalid request."""
    try:
        decode(input_, model=model, **fields)
    except GatewayError as error:
        return error.code, error.param
    raise AssertionError("The request was accepted.")


def warnings(request: ResponsesRequest) -> list[tuple[str, str]]:
    """Return the code and the field of each warning."""
    return [(warning.code, warning.param) for warning in request.warnings]


def user(*parts: JSON) -> JSONObject:
    """Return a user's message."""
    return {"role": "user", "content": list(parts)}


def call(id_: str = "c1", name: str = "get_weather", arguments: str = '{"city":"Paris"}') -> JSONObject:
    """Return a function call as clients send it back."""
    return {"type": "function_call", "id": "fc_1", "call_id": id_, "name": name, "arguments": arguments}


def result(id_: str = "c1", output: JSON = "21 degrees") -> JSONObject:
    """Return the result of a function call."""
    return {"type": "function_call_output", "call_id": id_, "output": output}


def turns(request: ResponsesRequest) -> list[tuple[str, list[str]]]:
    """Return the role of each message and the types of its blocks."""
    return [(turn["role"], [str(block["type"]) for block in turn["content"]]) for turn in request.body["messages"]]


def plain(request: ResponsesRequest, blocks: Sequence[JSONObject], stop_reason: str = "end_turn", **delta: Any) -> Any:
    """Return the parsed body of a plain response."""
    return json.loads(dialect().encode(request, IDENTITY, [accumulate(script(blocks, stop_reason, **delta))]))


def streamed(request: ResponsesRequest, events: Iterable[MessageEvent]) -> bytes:
    """Return the whole stream of a response."""
    stream = dialect().encode_stream(request, IDENTITY)
    return b"".join([*map(stream.feed, passed_on(events)), stream.finish()])


def parse_events(stream: bytes) -> list[Any]:
    """Return the parsed events of a stream; check the framing, the names and the sequence numbers."""
    events = []
    for number, frame in enumerate(sse.events(stream)):
        name, data = frame.decode().rstrip("\n").split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        events.append(event)
    return events
