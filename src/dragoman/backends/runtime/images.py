"""Images that the runtime makes smaller before it sends them; those in results of tools it leaves as they are."""

from collections.abc import Iterable

from dragoman.errors import InvalidRequest
from dragoman.media import size_of
from dragoman.messages import Block, Message
from dragoman.notices import Notice

MOST_PIXELS = 2000
"""The longest side that it leaves; of a longer one it says in a text of its own how it was scaled."""

MOST_BYTES = 512_000
"""The largest file that it leaves; a larger one it writes anew, as a JPEG."""


def made_smaller(messages: Iterable[Message]) -> list[Notice]:
    """Say how many images will not arrive as the client sent them, if any will not.

    Raises:
        InvalidRequest: One is damaged. The API would refuse it, and the runtime put words of its own in its place.
    """
    blocks = [block for message in messages if message["role"] == "user" for block in message["content"]]
    count = sum(_is_large(block) for block in blocks if block.get("type") == "image")
    if not count:
        return []
    limits = f"{MOST_PIXELS} pixels a side or {MOST_BYTES} bytes"
    detail = f"The Claude Code runtime makes images over {limits} smaller: {count} here."
    return [Notice("resized", "messages", detail)]


def _is_large(block: Block) -> bool:
    source = block.get("source")
    data = source.get("data") if isinstance(source, dict) else None
    if not isinstance(data, str):
        return False
    size = size_of(block)
    if size is None:
        said = "An image is cut short or damaged: its size cannot be read."
        raise InvalidRequest(said, code="invalid_image", param="messages")
    return max(size) > MOST_PIXELS or len(data) // 4 * 3 - data[-2:].count("=") > MOST_BYTES
