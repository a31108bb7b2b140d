"""The client's own cache marks: the API takes a few."""

from collections.abc import Iterator
from typing import cast

from dragoman.messages import JSONObject, MessagesRequest
from dragoman.notices import Notice

MOST = 4


def limit_marks(body: MessagesRequest, notices: list[Notice]) -> None:
    """Keep the last marks: each of them covers everything before it."""
    marked = list(_marked(body))
    if len(marked) <= MOST:
        return
    for block in marked[:-MOST]:
        del block["cache_control"]
    notices.append(Notice("clamped", "cache_control", f"Claude takes {MOST} cache marks; the last ones were sent."))


def _marked(body: MessagesRequest) -> Iterator[JSONObject]:
    """In the order in which the API reads the prompt."""
    yield from _with_mark([*body.get("tools", []), *body.get("system", [])])
    for message in body["messages"]:
        for block in message["content"]:
            inner = block.get("content")
            yield from _with_mark(cast("list[JSONObject]", inner if isinstance(inner, list) else []))
            yield from _with_mark([block])


def _with_mark(blocks: list[JSONObject]) -> Iterator[JSONObject]:
    return (block for block in blocks if "cache_control" in block)
