"""Cache marks."""

from collections.abc import Iterator

from dragoman.messages import JSONObject
from dragoman.simulator.call import Call
from dragoman.simulator.problem import refuse
from dragoman.simulator.shapes import object_of, objects_of

_MOST = 4


def marks(call: Call) -> None:
    """At most four, of a known kind."""
    found = list(_marks(call))
    for mark in found:
        if mark.get("type") != "ephemeral":
            raise refuse("cache_control.type: Input should be 'ephemeral'")
        if mark.get("ttl") not in (None, "5m", "1h"):
            raise refuse("cache_control.ephemeral.ttl: Input should be '5m' or '1h'")
    if len(found) > _MOST:
        raise refuse(f"A maximum of {_MOST} blocks with cache_control may be provided. Found {len(found)}.")


def order(call: Call) -> None:
    """What is kept for an hour comes before what is kept for five minutes."""
    short = False
    for mark in _marks(call):
        if mark.get("ttl") == "1h" and short:
            raise refuse(
                "cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. "
                "Note that blocks are processed in the following order: `tools`, `system`, `messages`."
            )
        short = short or mark.get("ttl") != "1h"


def _marks(call: Call) -> Iterator[JSONObject]:
    for point in call.points:
        if point.mark:
            yield point.mark
        for inner in objects_of(point.content.get("content")):
            if mark := object_of(inner.get("cache_control")):
                yield mark
    if mark := object_of(call.body.get("cache_control")):
        yield mark
