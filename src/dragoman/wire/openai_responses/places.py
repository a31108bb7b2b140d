"""Where an output item stands, and the events that tell of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from dragoman.messages import JSON, JSONObject

Events: TypeAlias = Iterator[JSONObject]
Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]


@dataclass(frozen=True, slots=True)
class Place:
    """An item's place.

    Attributes:
        id: The item's id.
        index: Its place in the output.
    """

    id: str
    index: int

    def event(self, kind: str, **fields: JSON) -> JSONObject:
        """An event about a part of the item."""
        return {"type": f"response.{kind}", "item_id": self.id, "output_index": self.index, **fields}

    def item_event(self, kind: Literal["added", "done"], item: JSONObject) -> JSONObject:
        """An event about the whole item."""
        return {"type": f"response.output_item.{kind}", "output_index": self.index, "item": item}
