"""Framing of server-sent events.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

HEARTBEAT = b": \n\n"
"""A comment: clients ignore it, and proxies see that the connection is alive."""

DONE = b"data: [DONE]\n\n"
"""The end mark of the OpenAI dialects."""


def events(stream: bytes) -> list[bytes]:
    """Split bytes that hold whole events into the events."""
    return [part + b"\n\n" for part in stream.split(b"\n\n")[:-1]]


def event(data: bytes, name: str | None = None) -> bytes:
    r"""Frame one event.

    Args:
        data: The payload, JSON on one line: it may hold no raw `\n` or `\r`.
        name: The event's name, if the dialect names its events.
    """
    if name is None:
        return b"data: " + data + b"\n\n"
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
