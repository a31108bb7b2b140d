"""Writing one response to the store, from its start to its end."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Generic

from dragoman.core import log
from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError, ShuttingDown, StoreFailed
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import BackgroundFormat, ResponseIdentity, StorageOptions, StoredFormat
from dragoman.server.collect import RequestT
from dragoman.stores.base import ResponseStore, StoredEntry


@value_object
class Lease:
    """Who a response belongs to, and who is generating it.

    Attributes:
        owner: The client that asked for the response.
        producer: The gateway process that generates it. It renews the lease while it works.
    """

    owner: str
    producer: str


class ResponseWriter(Generic[RequestT]):
    """Writes one response to the store, from its start to its end.

    A store that fails does not fail the response: its client gets a warning instead.

    Args:
        store: The store.
        stored_format: The dialect's stored form.
        request: The request.
        identity: What names the response.
        lease: Who it belongs to.
        queued: What another process needs to generate the response while it is queued; None: no other one does.

    Attributes:
        id: The id of the response.
        document: The stored document of the response while it is generated, if it can be read meanwhile.
        warnings: Warnings for the client.
        given_up: Whether the response belongs to another process now. Nothing is written here any more.
    """

    def __init__(
        self,
        store: ResponseStore,
        stored_format: StoredFormat[RequestT],
        request: RequestT,
        identity: ResponseIdentity,
        lease: Lease,
        queued: bytes | None = None,
    ) -> None:
        self._store = store
        self._format = stored_format
        self._request = request
        self._storage = request.storage or StorageOptions()
        self._identity = identity
        self._lease = lease
        self._queued = queued
        self._lock = asyncio.Lock()
        self._final = False
        self._event_count = 0
        self.id = stored_format.response_id(identity)
        self.document: bytes | None = None
        self.warnings: tuple[RequestWarning, ...] = ()
        self.given_up = False

    @property
    def is_open(self) -> bool:
        """Return whether the response is in the store and not final."""
        return self.document is not None and not self._final

    async def begin(self) -> None:
        """Store the response as queued, if the dialect has a form for responses that are not complete.

        Raises:
            StoreFailed: The store failed.
        """
        async with self._lock:
            if not self._final and self.document is None and isinstance(self._format, BackgroundFormat):
                document = self._format.queued(self._request, self._identity)
                try:
                    await self._store.add(self._entry(document), self._lease.producer, self._queued)
                except asyncio.CancelledError:
                    # The entry may exist, and no other code would ever settle it.
                    await self._try(self._store.finish(self.id, self._format.cancelled(document)))
                    raise
                self.document, self._queued = document, None

    async def leave_queue(self) -> None:
        """Note in the store that Claude is asked now.

        Raises:
            ShuttingDown: Another process generates the response, or it was cancelled.
            StoreFailed: The store failed.
        """
        if not await self._store.begin(self.id, self._lease.producer):
            self.give_up()
            raise handed_over()

    def give_up(self) -> None:
        """Leave the response to another process."""
        self._final = self.given_up = True

    async def append(self, events: Sequence[bytes]) -> None:
        """Store events of a background response, so that its stream can be read again."""
        if events and self._storage.background and not self.given_up:
            first, self._event_count = self._event_count, self._event_count + len(events)
            try:
                await self._try(self._store.append(self.id, first, events))
            except asyncio.CancelledError:
                # Whether the events were stored is unknown. A gap could not be filled later, so store them again.
                await self._try(self._store.append(self.id, first, events))
                raise

    async def complete(self, answers: Sequence[AccumulatedMessage], body: bytes) -> None:
        """Store the complete response; `body` is what the client gets."""
        await self._finish(self._format.completed(self._request, self._identity, answers, body))

    async def fail(self, error: GatewayError, *, was_sent: bool, body: bytes | None = None) -> None:
        """Store that the response failed, if a client knows its id. Do nothing if it has been stored.

        Args:
            error: Why it failed.
            was_sent: Whether a part of the response is sent to its client.
            body: The failed response, as it is sent, if the dialect has a form for it.
        """
        if self._final or not isinstance(self._format, BackgroundFormat):
            return
        if was_sent or self.document:
            document = self.document or self._format.queued(self._request, self._identity)
            await self._finish(self._format.failed(document, error, body))

    async def cancel(self) -> None:
        """Store that the response was cancelled, if it is in the store."""
        if isinstance(self._format, BackgroundFormat) and self.document:
            await self._finish(self._format.cancelled(self.document))

    async def _finish(self, document: bytes) -> None:
        if self.given_up:
            return
        async with self._lock:
            self._final = True
            if self.document:
                await self._try(self._store.finish(self.id, document))
            else:
                await self._try(self._store.add(self._entry(document)))

    async def _try(self, write: Awaitable[object]) -> None:
        try:
            await write
        except StoreFailed as error:
            log.warning("answer.not_kept", id=self.id)
            self.warnings += (RequestWarning("not_kept", "store", error.message),)

    def _entry(self, document: bytes) -> StoredEntry:
        return StoredEntry(
            id=self.id,
            owner=self._lease.owner,
            kind=self._format.kind,
            model=self._request.resolved.model.id,
            created=self._identity.created,
            parent=self._storage.parent,
            metadata=self._storage.metadata,
            body=document,
        )


def handed_over() -> ShuttingDown:
    """Return the error for clients that follow a response which another process generates now."""
    return ShuttingDown("Another process of the gateway generates this response now. Read it by its id.")
