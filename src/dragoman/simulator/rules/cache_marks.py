"""Rules of `cache_control`."""

from collections.abc import Iterator

from dragoman.core.messages import JSONObject
from dragoman.simulator.errors import invalid_request
from dragoman.simulator.json_values import object_of, objects_of
from dragoman.simulator.request import ApiRequest

_MAX_MARKS = 4


def types_and_count(request: ApiRequest) -> None:
    """There are at most four cache marks, of a known type."""
    marks = list(_marks(request))
    for mark in marks:
        if mark.get("type") != "ephemeral":
            raise invalid_request("cache_control.type: Input should be 'ephemeral'")
        if mark.get("ttl") not in (None, "5m", "1h"):
            raise invalid_request("cache_control.ephemeral.ttl: Input should be '5m' or '1h'")
    if len(marks) > _MAX_MARKS:
        raise invalid_request(
            f"A maximum of {_MAX_MARKS} blocks with cache_control may be provided. Found {len(marks)}."
        )


def order(request: ApiRequest) -> None:
    """Marks of an hour precede marks of five minutes."""
    has_short = False
    for mark in _marks(request):
        if mark.get("ttl") == "1h" and has_short:
            raise invalid_request(
                "cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. "
                "Note that blocks are processed in the following order: `tools`, `system`, `messages`."
            )
        has_short = has_short or mark.get("ttl") != "1h"


def _marks(request: ApiRequest) -> Iterator[JSONObject]:
    for block in request.hashed_blocks:
        if block.cache_control:
            yield block.cache_control
        for inner in objects_of(block.content.get("content")):
            if mark := object_of(inner.get("cache_control")):
                yield mark
    if mark := object_of(request.body.get("cache_control")):
        yield mark
