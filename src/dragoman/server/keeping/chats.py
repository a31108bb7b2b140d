"""Kept chat completions: listed, asked for, labelled and deleted."""

from dataclasses import replace
from typing import Literal, cast

import msgspec
from starlette.types import Receive

from dragoman.errors import InvalidRequest, NotFound
from dragoman.messages import JSON, JSONObject
from dragoman.server.exchange import Exchange
from dragoman.server.keeping.listing import MOST, USUAL, listed, paged
from dragoman.server.keeping.shelf import Shelf, required
from dragoman.server.limits import read_body
from dragoman.server.plain import Query
from dragoman.server.replies import Reply, json_reply
from dragoman.stores import base
from dragoman.stores.base import Entry
from dragoman.wire import validation
from dragoman.wire.labels import labels
from dragoman.wire.openai_chat import KeptChats

_LONGEST_BODY = 64 * 1024


class Chats:
    """The endpoints of completions that were made with `store`.

    Args:
        documents: The form that they are kept in.
        shelf: Where they are, if any are kept.
    """

    def __init__(self, documents: KeptChats, shelf: Shelf | None) -> None:
        self._documents = documents
        self._shelf = shelf

    async def all(self, exchange: Exchange, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """A page of them."""
        query, shelf = Query(exchange), required(self._shelf)
        order: Literal["asc", "desc"] = "desc" if query.descending("asc") else "asc"
        wanted = base.Query(
            kind=self._documents.kind,
            model=query.text("model"),
            labels=labels(dict(query.inner("metadata")), "metadata"),
            after=query.text("after"),
            limit=query.number("limit", USUAL, most=MOST),
            order=order,
        )
        page = await shelf.archive.page(exchange.client, wanted)
        if page is None:
            raise NotFound(f"There is no completion `{(wanted.after or '')[:80]}`.", param="after")
        return listed([self._shown(entry) for entry in page.entries], more=page.more)

    async def get(self, exchange: Exchange, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """One of them."""
        return json_reply(200, self._documents.shown((await self._entry(exchange)).body))

    async def messages(self, exchange: Exchange, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """The messages that it answers."""
        entry = await self._entry(exchange)
        return paged(self._documents.messages(entry.body, entry.id), Query(exchange), "asc")

    async def label(self, exchange: Exchange, receive: Receive) -> Reply:
        """Change its metadata."""
        raw = await read_body(receive, exchange.headers.get(b"content-length"), _LONGEST_BODY)
        entry, given = await self._entry(exchange), _metadata(validation.parse(raw))
        entry = replace(entry, labels=given, body=self._documents.labelled(entry.body, given))
        if not await required(self._shelf).archive.change(entry):
            raise _missing(entry.id)
        return json_reply(200, self._documents.shown(entry.body))

    async def delete(self, exchange: Exchange, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """Delete it."""
        entry = await self._entry(exchange)
        await required(self._shelf).archive.delete(exchange.client, entry.id)
        body = {"object": "chat.completion.deleted", "id": entry.id, "deleted": True}
        return json_reply(200, msgspec.json.encode(body))

    async def _entry(self, exchange: Exchange) -> Entry:
        shelf, id_ = required(self._shelf), str(exchange.scope["path_params"]["id"])
        found = await shelf.archive.get(exchange.client, id_)
        if found is None or found.entry.kind != self._documents.kind:
            raise _missing(id_)
        return found.entry

    def _shown(self, entry: Entry) -> JSONObject:
        return cast("JSONObject", msgspec.json.decode(self._documents.shown(entry.body)))


def _metadata(body: JSON) -> dict[str, str]:
    if not isinstance(body, dict) or "metadata" not in body:
        raise InvalidRequest(
            "Missing required parameter: `metadata`.", code="missing_required_parameter", param="metadata"
        )
    return dict(labels(body["metadata"], "metadata"))


def _missing(id_: str) -> NotFound:
    return NotFound(f"There is no completion `{id_[:80]}`: only those with `store` are kept, for a time.", param="id")
