"""Lists, a page at a time."""

from collections.abc import Sequence

import msgspec

from dragoman.errors import NotFound
from dragoman.messages import JSONObject
from dragoman.server.plain import Query
from dragoman.server.replies import Reply, json_reply

MOST = 100
USUAL = 20


def listed(page: Sequence[JSONObject], *, more: bool) -> Reply:
    """A page of a list, as OpenAI has them.

    Args:
        page: What is on it.
        more: Whether there is more behind it.
    """
    first, last = (page[0]["id"], page[-1]["id"]) if page else ("", "")
    body = {"object": "list", "data": page, "first_id": first, "last_id": last, "has_more": more}
    return json_reply(200, msgspec.json.encode(body))


def paged(items: Sequence[JSONObject], query: Query, order: str) -> Reply:
    """The page of a whole list that is asked for.

    Args:
        items: The list, the oldest first.
        query: What is asked for.
        order: What is meant where it says no order.

    Raises:
        InvalidRequest: It cannot be.
        NotFound: `after` is not in the list.
    """
    limit = query.number("limit", USUAL, most=MOST)
    ordered = list(reversed(items)) if query.descending(order) else list(items)
    begin = 0
    if (after := query.text("after")) is not None:
        places = [place for place, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise NotFound(f"There is no `{after[:80]}` in this list.", param="after")
        begin = places[0] + 1
    return listed(ordered[begin : begin + limit], more=len(ordered) > begin + limit)
