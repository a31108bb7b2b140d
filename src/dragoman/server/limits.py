"""Request bodies, read no further than they may be long."""

from starlette.types import Receive

from dragoman.errors import RequestTooLarge
from dragoman.server.disconnect import ClientGone


async def read_body(receive: Receive, declared: bytes | None, limit: int) -> bytes:
    """The whole body.

    Args:
        receive: The request's ASGI channel.
        declared: Its `content-length`, if it has one.
        limit: The most bytes.

    Raises:
        RequestTooLarge: It is longer, or says that it will be.
        ClientGone: The client left before its end.
    """
    if declared is not None and int(declared) > limit:  # the server has checked that it is a number
        raise _too_large(limit)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The request body is over {limit} bytes (--max-request-bytes).")
