"""Framing of server-sent events, and nothing else.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

HEARTBEAT = b": \n\n"
"""A comment: clients skip it, proxies see that the connection lives."""

DONE = b"data: [DONE]\n\n"
"""How the OpenAI dialects end a stream."""


def events(stream: bytes) -> list[bytes]:
    """The events of a piece of a stream that holds whole ones."""
    return [part + b"\n\n" for part in stream.split(b"\n\n")[:-1]]


def event(data: bytes, name: str | None = None) -> bytes:
    r"""Frame one event.

    Args:
        data: The payload, JSON on one line: it may hold no raw `\n` or `\r`.
        name: The event's name, where the dialect names its events.
    """
    if name is None:
        return b"data: " + data + b"\n\n"
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
