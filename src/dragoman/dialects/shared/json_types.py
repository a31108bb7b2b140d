"""JSON types for annotations that msgspec reads: it cannot read the recursive alias of the core."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.core.messages import JSON, JSONObject
else:
    JSON = Any
    JSONObject = dict[str, Any]

__all__ = ["JSON", "JSONObject"]
