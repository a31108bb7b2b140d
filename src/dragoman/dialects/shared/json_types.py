"""JSON as msgspec can read it in annotations: the recursive alias of the core is for the type checker only."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.core.messages import JSON, JSONObject
else:
    JSON = Any
    JSONObject = dict[str, Any]

__all__ = ["JSON", "JSONObject"]
