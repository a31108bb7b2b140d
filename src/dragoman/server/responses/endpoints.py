"""Lists, a page at a time.

Kept chat completions: listed, asked for, labelled and deleted.

Kept responses: asked for, followed, cancelled, deleted, and their items listed.

The routes of kept answers, with and without `/v1`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, cast

import msgspec
from starlette.routing import Route
from starlette.types import Receive

from dragoman.core.errors import GatewayError, InvalidRequest, NotFound
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import ErrorResponse
from dragoman.dialects.chat.stored import StoredChats
from dragoman.dialects.responses.stored import StoredResponses
from dragoman.dialects.shared.validation import parse_json, parse_metadata
from dragoman.server.context import RawHeaders, RequestContext
from dragoman.server.disconnect import CancelOnDisconnect, read_body
from dragoman.server.replies import Handler, PlainHandler, Query, Reply, json_reply
from dragoman.server.responses.follow import StreamFollower
from dragoman.server.responses.shelf import StoredResponseService, require_store
from dragoman.stores import base
from dragoman.stores.base import StoredEntry

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


_LONGEST_BODY = 64 * 1024


class StoredChatEndpoints:
    """The endpoints of completions that were made with `store`.

    Args:
        documents: The form that they are kept in.
        shelf: Where they are, if any are kept.
    """

    def __init__(self, documents: StoredChats, shelf: StoredResponseService | None) -> None:
        self._documents = documents
        self._shelf = shelf

    async def all(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """A page of them."""
        query, shelf = Query(context), require_store(self._shelf)
        order: Literal["asc", "desc"] = "desc" if query.descending("asc") else "asc"
        wanted = base.EntryQuery(
            kind=self._documents.kind,
            model=query.text("model"),
            metadata=parse_metadata(dict(query.inner("metadata")), "metadata"),
            after=query.text("after"),
            limit=query.number("limit", USUAL, most=MOST),
            order=order,
        )
        page = await shelf.archive.page(context.client, wanted)
        if page is None:
            raise NotFound(f"There is no completion `{(wanted.after or '')[:80]}`.", param="after")
        return listed([self._shown(entry) for entry in page.entries], more=page.more)

    async def get(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """One of them."""
        return json_reply(200, self._documents.view((await self._entry(context)).body))

    async def messages(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """The messages that it answers."""
        entry = await self._entry(context)
        return paged(self._documents.messages(entry.body, entry.id), Query(context), "asc")

    async def label(self, context: RequestContext, receive: Receive) -> Reply:
        """Change its metadata."""
        raw = await read_body(receive, context.headers.get(b"content-length"), _LONGEST_BODY)
        entry, given = await self._entry(context), _metadata(parse_json(raw))
        entry = replace(entry, metadata=given, body=self._documents.with_metadata(entry.body, given))
        if not await require_store(self._shelf).archive.update(entry):
            raise _no_completion(entry.id)
        return json_reply(200, self._documents.view(entry.body))

    async def delete(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """Delete it."""
        entry = await self._entry(context)
        await require_store(self._shelf).archive.delete(context.client, entry.id)
        body = {"object": "chat.completion.deleted", "id": entry.id, "deleted": True}
        return json_reply(200, msgspec.json.encode(body))

    async def _entry(self, context: RequestContext) -> StoredEntry:
        shelf, id_ = require_store(self._shelf), str(context.scope["path_params"]["id"])
        found = await shelf.archive.get(context.client, id_)
        if found is None or found.entry.kind != self._documents.kind:
            raise _no_completion(id_)
        return found.entry

    def _shown(self, entry: StoredEntry) -> JSONObject:
        return cast("JSONObject", msgspec.json.decode(self._documents.view(entry.body)))


def _metadata(body: JSON) -> dict[str, str]:
    if not isinstance(body, dict) or "metadata" not in body:
        raise InvalidRequest(
            "Missing required parameter: `metadata`.", code="missing_required_parameter", param="metadata"
        )
    return dict(parse_metadata(body["metadata"], "metadata"))


def _no_completion(id_: str) -> NotFound:
    return NotFound(f"There is no completion `{id_[:80]}`: only those with `store` are kept, for a time.", param="id")


class StoredResponseEndpoints:
    """The endpoints under `/v1/responses/{id}`.

    Args:
        documents: The form that responses are kept in.
        shelf: Where they are, if any are kept.
        heartbeat: Seconds of silence after which a stream gets a comment line.
    """

    def __init__(self, documents: StoredResponses, shelf: StoredResponseService | None, heartbeat: float) -> None:
        self._documents = documents
        self._shelf = shelf
        self._heartbeat = heartbeat

    async def get(self, context: RequestContext, receive: Receive) -> Reply | None:
        """A response as it stands now, or its stream from some event on."""
        query, shelf = Query(context), require_store(self._shelf)
        entry = await self._entry(context, shelf)
        if query.flag("stream"):
            first = query.number("starting_after", -1) + 1
            async with CancelOnDisconnect(receive):
                await self._stream(context, shelf, entry, first)
            return None
        return json_reply(200, self._documents.view(entry.body, query.texts("include")))

    async def delete(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """Delete a response; one that is still being made is ended."""
        shelf = require_store(self._shelf)
        entry = await self._entry(context, shelf)
        if job := shelf.jobs.get(entry.id):
            await job.cancel()
        await shelf.archive.delete(context.client, entry.id)
        return json_reply(200, msgspec.json.encode({"id": entry.id, "object": "response", "deleted": True}))

    async def cancel(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """End a response in the background; one that has ended stays as it is."""
        shelf = require_store(self._shelf)
        entry = await self._entry(context, shelf)
        if not self._documents.is_background(entry.body):
            raise InvalidRequest("Only a response in the background can be cancelled: `background` was not asked for.")
        if job := shelf.jobs.get(entry.id):
            await job.cancel()
        else:
            # Made by another gateway, if at all: it learns of this when it next tells that it is still at work.
            await shelf.archive.finish(entry.id, self._documents.cancelled(entry.body))
        return json_reply(200, self._documents.view((await self._entry(context, shelf)).body))

    async def items(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - there is no body
        """What the model was given, item by item."""
        query, shelf = Query(context), require_store(self._shelf)
        chain = await shelf.archive.chain(context.client, _id(context))
        if not chain or chain[-1].kind != self._documents.kind:
            raise _no_response(_id(context))
        return paged(
            self._documents.input_items([entry.body for entry in chain], query.texts("include")), query, "desc"
        )

    async def _entry(self, context: RequestContext, shelf: StoredResponseService) -> StoredEntry:
        entry = await shelf.entry(context.client, _id(context), self._documents)
        if entry is None:
            raise _no_response(_id(context))
        return entry

    async def _stream(
        self, context: RequestContext, shelf: StoredResponseService, entry: StoredEntry, first: int
    ) -> None:
        following = StreamFollower(context, self._heartbeat, _no_headers, first)
        job = shelf.jobs.get(entry.id)
        if job and job.told:
            await following.job(job)
        elif await shelf.archive.events(entry.id, 0):
            await following.archive(shelf.archive, context.client, entry.id)
        else:
            raise InvalidRequest(
                "Only a response that was asked for with `background` and `stream` has a stream to ask for again.",
                param="stream",
            )


def _id(context: RequestContext) -> str:
    return str(context.scope["path_params"]["id"])


def _no_response(id_: str) -> NotFound:
    return NotFound(f"There is no response `{id_[:80]}`: it was never kept, or is deleted, or too old.", param="id")


def _no_headers() -> RawHeaders:
    return []


_CHAT, _RESPONSE = "/chat/completions", "/responses/{id}"


def stored_routes(
    chats: StoredChatEndpoints,
    responses: StoredResponseEndpoints,
    encode_error: Callable[[GatewayError], ErrorResponse],
) -> Iterator[Route]:
    """All of them.

    Args:
        chats: The endpoints of chat completions.
        responses: The endpoints of responses.
        encode_error: Says what failed.
    """
    handlers: list[tuple[str, str, Handler]] = [
        ("GET", _RESPONSE, responses.get),
        ("DELETE", _RESPONSE, responses.delete),
        ("POST", f"{_RESPONSE}/cancel", responses.cancel),
        ("GET", f"{_RESPONSE}/input_items", responses.items),
        ("GET", _CHAT, chats.all),
        ("GET", f"{_CHAT}/{{id}}", chats.get),
        ("POST", f"{_CHAT}/{{id}}", chats.label),
        ("DELETE", f"{_CHAT}/{{id}}", chats.delete),
        ("GET", f"{_CHAT}/{{id}}/messages", chats.messages),
    ]
    for method, path, handler in handlers:
        endpoint = PlainHandler(handler, encode_error)
        for prefix in ("/v1", ""):
            yield Route(prefix + path, endpoint, methods=[method])
