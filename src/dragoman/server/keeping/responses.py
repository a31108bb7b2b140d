"""Kept responses: asked for, followed, cancelled, deleted, and their items listed."""

import msgspec
from starlette.types import Receive

from dragoman.errors import InvalidRequest, NotFound
from dragoman.server.disconnect import UntilGone
from dragoman.server.exchange import Exchange, RawHeaders
from dragoman.server.keeping.following import Following
from dragoman.server.keeping.listing import paged
from dragoman.server.keeping.shelf import Shelf, required
from dragoman.server.plain import Query
from dragoman.server.replies import Reply, json_reply
from dragoman.stores.base import Entry
from dragoman.wire.openai_responses import KeptResponses


class Responses:
    """The endpoints under `/v1/responses/{id}`.

    Args:
        documents: The form that responses are kept in.
        shelf: Where they are, if any are kept.
        heartbeat: Seconds of silence after which a stream gets a comment line.
    """

    def __init__(self, documents: KeptResponses, shelf: Shelf | None, heartbeat: float) -> None:
        self._documents = documents
        self._shelf = shelf
        self._heartbeat = heartbeat

    async def get(self, exchange: Exchange, receive: Receive) -> Reply | None:
        """A response as it stands now, or its stream from some event on."""
        query, shelf = Query(exchange), required(self._shelf)
        entry = await self._entry(exchange, shelf)
        if query.flag("stream"):
            first = query.number("starting_after", -1) + 1
            async with UntilGone(receive):
                await self._stream(exchange, shelf, entry, first)
            return None
        return json_reply(200, self._documents.shown(entry.body, query.texts("include")))

    async def delete(self, exchange: Exchange, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """Delete a response; one that is still being made is ended."""
        shelf = required(self._shelf)
        entry = await self._entry(exchange, shelf)
        if job := shelf.jobs.get(entry.id):
            await job.cancel()
        await shelf.archive.delete(exchange.client, entry.id)
        return json_reply(200, msgspec.json.encode({"id": entry.id, "object": "response", "deleted": True}))

    async def cancel(self, exchange: Exchange, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """End a response in the background; one that has ended stays as it is."""
        shelf = required(self._shelf)
        entry = await self._entry(exchange, shelf)
        if not self._documents.in_background(entry.body):
            raise InvalidRequest("Only a response in the background can be cancelled: `background` was not asked for.")
        if job := shelf.jobs.get(entry.id):
            await job.cancel()
        else:
            # Made by another gateway, if at all: it learns of this when it next tells that it is still at work.
            await shelf.archive.settle(entry.id, self._documents.cancelled(entry.body))
        return json_reply(200, self._documents.shown((await self._entry(exchange, shelf)).body))

    async def items(self, exchange: Exchange, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """What the model was given, item by item."""
        query, shelf = Query(exchange), required(self._shelf)
        chain = await shelf.archive.chain(exchange.client, _id(exchange))
        if not chain or chain[-1].kind != self._documents.kind:
            raise _missing(_id(exchange))
        return paged(self._documents.items([entry.body for entry in chain], query.texts("include")), query, "desc")

    async def _entry(self, exchange: Exchange, shelf: Shelf) -> Entry:
        entry = await shelf.entry(exchange.client, _id(exchange), self._documents)
        if entry is None:
            raise _missing(_id(exchange))
        return entry

    async def _stream(self, exchange: Exchange, shelf: Shelf, entry: Entry, first: int) -> None:
        following = Following(exchange, self._heartbeat, _no_headers, first)
        job = shelf.jobs.get(entry.id)
        if job and job.told:
            await following.job(job)
        elif await shelf.archive.events(entry.id, 0):
            await following.archive(shelf.archive, exchange.client, entry.id)
        else:
            raise InvalidRequest(
                "Only a response that was asked for with `background` and `stream` has a stream to ask for again.",
                param="stream",
            )


def _id(exchange: Exchange) -> str:
    return str(exchange.scope["path_params"]["id"])


def _missing(id_: str) -> NotFound:
    return NotFound(f"There is no response `{id_[:80]}`: it was never kept, or is deleted, or too old.", param="id")


def _no_headers() -> RawHeaders:
    return []
