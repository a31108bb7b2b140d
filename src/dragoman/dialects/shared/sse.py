"""Framing of server-sent events.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import msgspec

_encode = msgspec.json.Encoder().encode

HEARTBEAT = b": \n\n"
"""A comment: clients ignore it, and proxies see that the connection is alive."""

DONE = b"data: [DONE]\n\n"
"""The end mark of the OpenAI dialects."""


def events(stream: bytes) -> list[bytes]:
    """Split bytes that hold whole events into the events."""
    return [part + b"\n\n" for part in stream.split(b"\n\n")[:-1]]


_LINE_SEPARATORS = (
    (b"\xe2\x80\xa8", rb"\u2028"),
    (b"\xe2\x80\xa9", rb"\u2029"),
    (b"\xc2\x85", rb"\u0085"),
)


def encode_json(value: object) -> bytes:
    """Encode JSON for the data of an event."""
    data = _encode(value)
    return data if data.isascii() else escape_line_separators(data)


def escape_line_separators(json: bytes) -> bytes:
    """Escape the characters in JSON that some clients take for the end of a line, as Python's `splitlines` does."""
    if json.isascii():  # most texts are
        return json
    for character, escape in _LINE_SEPARATORS:
        if character in json:
            json = json.replace(character, escape)
    return json


def event(data: bytes, name: str | None = None) -> bytes:
    r"""Frame one event.

    Args:
        data: The payload, JSON on one line: it may hold no raw `\n` or `\r`.
        name: The event's name, if the dialect names its events.
    """
    data = escape_line_separators(data)
    if name is None:
        return b"data: " + data + b"\n\n"
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def json_event(name: str, data: object) -> bytes:
    """Encode an event of a name whose payload is a value."""
    return event(encode_json(data), name)
