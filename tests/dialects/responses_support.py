"""What the tests of the responses dialect share."""

import hashlib
import json
from collections.abc import Sequence
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
PATCHED: JSONObject = {"type": "tool_use", "id": "toolu_9", "name": "apply_patch", "input": {"input": 'a "b"\n\\ü'}}


class Closing:
    """Closes the same bytes in the same way each time, so that answers can be compared."""

    def encrypt(self, value: bytes, name: str) -> bytes:
        """With a hash in front."""
        return hashlib.sha256(name.encode() + value).digest() + value

    def decrypt(self, sealed: bytes, name: str) -> bytes | None:
        """If the hash fits."""
        value = sealed[32:]
        return value if self.encrypt(value, name) == sealed else None


VAULT = ReasoningCipher(Closing())


def dialect(**options: Any) -> ResponsesDialect:
    """The codec, with the operator's options."""
    return ResponsesDialect(Catalog, DialectOptions(cipher=VAULT, **options), lambda: NOW + 0.5)


def raw(given: JSON = "ping", *, model: str = OLD, **fields: Any) -> bytes:
    """A request's body."""
    return json.dumps({"model": model, "input": given, **fields}).encode()


def decode(given: JSON = "ping", *, model: str = OLD, **fields: Any) -> ResponsesRequest:
    """Decode a request with the default options."""
    return dialect().decode(raw(given, model=model, **fields))


def refused(given: JSON = "ping", *, model: str = OLD, **fields: Any) -> tuple[str | None, str | None]:
    """The code and field of a refusal."""
    try:
        decode(given, model=model, **fields)
    except GatewayError as error:
        return error.code, error.param
    raise AssertionError("It was not refused.")


def said(request: ResponsesRequest) -> list[tuple[str, str]]:
    """The code and field of each notice."""
    return [(warning.code, warning.param) for warning in request.warnings]


def user(*parts: JSON) -> JSONObject:
    """A user's message."""
    return {"role": "user", "content": list(parts)}


def call(id_: str = "c1", name: str = "get_weather", arguments: str = '{"city":"Paris"}') -> JSONObject:
    """A call as clients send it back."""
    return {"type": "function_call", "id": "fc_1", "call_id": id_, "name": name, "arguments": arguments}


def result(id_: str = "c1", output: JSON = "21 degrees") -> JSONObject:
    """A call's result."""
    return {"type": "function_call_output", "call_id": id_, "output": output}


def turns(request: ResponsesRequest) -> list[tuple[str, list[str]]]:
    """The role of each turn and the kinds of its blocks."""
    return [(turn["role"], [str(block["type"]) for block in turn["content"]]) for turn in request.body["messages"]]


def plain(request: ResponsesRequest, blocks: Sequence[JSONObject], stop_reason: str = "end_turn", **delta: Any) -> Any:
    """The plain answer's body, parsed."""
    return json.loads(dialect().encode(request, IDENTITY, [accumulate(script(blocks, stop_reason, **delta))]))


def streamed(request: ResponsesRequest, events: Sequence[MessageEvent]) -> bytes:
    """The whole stream."""
    stream = dialect().encode_stream(request, IDENTITY)
    return b"".join([*map(stream.feed, passed_on(events)), stream.finish()])


def told(stream: bytes) -> list[Any]:
    """The events of a stream, parsed; checks framing, names and numbers."""
    found = []
    for number, frame in enumerate(sse.events(stream)):
        name, data = frame.decode().rstrip("\n").split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        found.append(event)
    return found
