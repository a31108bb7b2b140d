"""Endpoints of stored responses and stored chat completions: read, follow, list, change, cancel, delete."""

from typing import Literal, cast

import msgspec
from starlette.types import Receive

from dragoman.core.errors import InvalidRequest, NotFound
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.value_object import replace
from dragoman.dialects.chat.stored import StoredChats
from dragoman.dialects.responses.stored import StoredResponses
from dragoman.dialects.shared.validation import parse_json, parse_metadata
from dragoman.server.context import RawHeaders, RequestContext
from dragoman.server.disconnect import cancel_on_disconnect, read_body
from dragoman.server.endpoint import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, Query, list_reply, page_reply
from dragoman.server.recording import first_event
from dragoman.server.replies import Reply, json_reply
from dragoman.server.stored.follow import JobEvents, StoredEvents
from dragoman.server.stored.service import StoredResponseService, require_store
from dragoman.server.stream import EventSource, StreamedResponse
from dragoman.stores.base import EntryQuery, StoredEntry

_MAX_METADATA_BODY = 64 * 1024
"""Bytes."""


class StoredResponseEndpoints:
    """The endpoints under `/v1/responses/{id}`.

    Args:
        stored_format: The stored form of responses.
        service: The stored responses; None: this gateway stores none.
        heartbeat: Seconds of silence after which a stream gets a heartbeat.
    """

    def __init__(self, stored_format: StoredResponses, service: StoredResponseService | None, heartbeat: float) -> None:
        self._format = stored_format
        self._service = service
        self._heartbeat = heartbeat

    async def get(self, context: RequestContext, receive: Receive) -> Reply | None:
        """Return a response as it is now, or its stream from a given event on."""
        query, service = Query(context), require_store(self._service)
        entry = await self._find(context, service)
        if not query.flag("stream"):
            return json_reply(200, self._format.for_client(context.client).view(entry.body, query.texts("include")))
        first = first_event(context) or 0
        async with cancel_on_disconnect(receive):
            source = await self._source(context, service, entry, first)
            await StreamedResponse(context, source, self._heartbeat, _no_headers).send()
        return None

    async def delete(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - no body
        """Delete a response. End it first if it is still being generated."""
        service = require_store(self._service)
        entry = await self._find(context, service)
        if job := service.jobs.get(entry.id):
            await job.cancel()
        await service.store.delete(context.client, entry.id)
        return json_reply(200, msgspec.json.encode({"id": entry.id, "object": "response", "deleted": True}))

    async def cancel(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - no body
        """Cancel a background response. One that has ended stays as it is."""
        service = require_store(self._service)
        entry = await self._find(context, service)
        if not self._format.is_background(entry.body):
            raise InvalidRequest("Only a response that was requested with `background` can be cancelled.")
        if job := service.jobs.get(entry.id):
            await job.cancel()
        else:
            # Another gateway generates it, if any does. It notices at its next renewal of the lease.
            await service.store.finish(entry.id, self._format.cancelled(entry.body))
        return json_reply(200, self._format.view((await self._find(context, service)).body))

    async def items(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - no body
        """Return a page of the input items of a response."""
        query, service = Query(context), require_store(self._service)
        chain = await service.store.chain(context.client, _path_id(context))
        if not chain or chain[-1].kind != self._format.kind:
            raise _no_response(_path_id(context))
        items = self._format.for_client(context.client).input_items(
            [entry.body for entry in chain], query.texts("include")
        )
        return page_reply(items, query, "desc")

    async def _find(self, context: RequestContext, service: StoredResponseService) -> StoredEntry:
        entry = await service.find(context.client, _path_id(context), self._format)
        if entry is None:
            raise _no_response(_path_id(context))
        return entry

    async def _source(
        self, context: RequestContext, service: StoredResponseService, entry: StoredEntry, first: int
    ) -> EventSource:
        job = service.jobs.get(entry.id)
        if job and job.sent_events:
            return JobEvents(job, first)
        if await service.store.events(entry.id, 0):
            return StoredEvents(service.store, context.client, entry.id, first)
        raise InvalidRequest(
            "This response has no stored stream: it was not requested with both `background` and `stream`.",
            param="stream",
        )


class StoredChatEndpoints:
    """The endpoints of chat completions that were requested with `store`.

    Args:
        stored_format: The stored form of chat completions.
        service: The stored responses; None: this gateway stores none.
    """

    def __init__(self, stored_format: StoredChats, service: StoredResponseService | None) -> None:
        self._format = stored_format
        self._service = service

    async def list(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - no body
        """Return a page of the client's completions."""
        query, service = Query(context), require_store(self._service)
        order: Literal["asc", "desc"] = "desc" if query.is_descending("asc") else "asc"
        entry_query = EntryQuery(
            kind=self._format.kind,
            model=query.text("model"),
            metadata=parse_metadata(dict(query.mapping("metadata")), "metadata"),
            after=query.text("after"),
            limit=query.number("limit", DEFAULT_PAGE_SIZE, maximum=MAX_PAGE_SIZE),
            order=order,
        )
        page = await service.store.page(context.client, entry_query)
        if page is None:
            raise NotFound(f"There is no completion `{(entry_query.after or '')[:80]}`.", param="after")
        views = [cast("JSONObject", msgspec.json.decode(self._format.view(entry.body))) for entry in page.entries]
        return list_reply(views, has_more=page.more)

    async def get(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - no body
        """Return one completion."""
        return json_reply(200, self._format.view((await self._find(context)).body))

    async def messages(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - no body
        """Return a page of the messages that a completion answers."""
        entry = await self._find(context)
        return page_reply(self._format.messages(entry.body, entry.id), Query(context), "asc")

    async def update(self, context: RequestContext, receive: Receive) -> Reply:
        """Replace the metadata of a completion."""
        raw = await read_body(context, receive, _MAX_METADATA_BODY)
        entry = await self._find(context)
        metadata = _metadata(parse_json(raw))
        entry = replace(entry, metadata=metadata, body=self._format.with_metadata(entry.body, metadata))
        if not await require_store(self._service).store.update(entry):
            raise _no_completion(entry.id)
        return json_reply(200, self._format.view(entry.body))

    async def delete(self, context: RequestContext, receive: Receive) -> Reply:  # noqa: ARG002 - no body
        """Delete a completion."""
        entry = await self._find(context)
        await require_store(self._service).store.delete(context.client, entry.id)
        body = {"object": "chat.completion.deleted", "id": entry.id, "deleted": True}
        return json_reply(200, msgspec.json.encode(body))

    async def _find(self, context: RequestContext) -> StoredEntry:
        service, id_ = require_store(self._service), _path_id(context)
        found = await service.store.get(context.client, id_)
        if found is None or found.entry.kind != self._format.kind:
            raise _no_completion(id_)
        return found.entry


def _path_id(context: RequestContext) -> str:
    return str(context.scope["path_params"]["id"])


def _metadata(body: JSON) -> dict[str, str]:
    if not isinstance(body, dict) or "metadata" not in body:
        raise InvalidRequest(
            "Missing required parameter: `metadata`.", code="missing_required_parameter", param="metadata"
        )
    return dict(parse_metadata(body["metadata"], "metadata"))


def _no_response(id_: str) -> NotFound:
    return NotFound(
        f"There is no stored response `{id_[:80]}`: it was not stored, was deleted, or has expired.", param="id"
    )


def _no_completion(id_: str) -> NotFound:
    return NotFound(
        f"There is no stored completion `{id_[:80]}`: it was not requested with `store`, was deleted, or has expired.",
        param="id",
    )


def _no_headers() -> RawHeaders:
    return []
