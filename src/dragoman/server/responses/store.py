"""What the archive is told of one answer, from its beginning to its end."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Generic

import structlog

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError, StoreFailed
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import BackgroundFormat, Request, ResponseIdentity, StorageOptions, StoredFormat
from dragoman.stores.base import ResponseStore, StoredEntry

log = structlog.get_logger("dragoman.server")


@dataclass(frozen=True, slots=True)
class Lease:
    """In whose hands an answer is.

    Attributes:
        owner: Whose it is.
        holder: Who is at work on it.
    """

    owner: str
    holder: str


class ResponseWriter(Generic[Request]):
    """Keeps one answer. Trouble with the archive ends no answer that is made: its client is warned instead.

    Args:
        archive: Where answers are kept.
        documents: The form of the dialect.
        decoded: The request.
        identity: What names the answer.
        hands: In whose hands it is.

    Attributes:
        id: The answer's id.
        begun: The document of what has begun, where the answer can be found while it is made.
        warnings: What its client is to be warned of.
    """

    def __init__(
        self,
        archive: ResponseStore,
        documents: StoredFormat[Request],
        decoded: Request,
        identity: ResponseIdentity,
        hands: Lease,
    ) -> None:
        self._archive = archive
        self._documents = documents
        self._decoded = decoded
        self._keeping = decoded.storage or StorageOptions()
        self._identity = identity
        self._hands = hands
        self._writing = asyncio.Lock()
        self._over = False
        self._events = 0
        self.id = documents.response_id(identity)
        self.begun: bytes | None = None
        self.warnings: tuple[RequestWarning, ...] = ()

    @property
    def open(self) -> bool:
        """Whether the answer can be found and is still being made."""
        return self.begun is not None and not self._over

    async def begin(self) -> None:
        """Let the answer be found from now on, where the dialect has a form for answers that are still to be made.

        Raises:
            StoreFailed: It cannot be kept.
        """
        async with self._writing:
            if not self._over and self.begun is None and isinstance(self._documents, BackgroundFormat):
                document = self._documents.queued(self._decoded, self._identity)
                try:
                    await self._archive.add(self._entry(document), self._hands.holder)
                except asyncio.CancelledError:
                    # It may be there all the same, and nobody would ever settle it.
                    await self._tried(self._archive.finish(self.id, self._documents.cancelled(document)))
                    raise
                self.begun = document

    async def events(self, pieces: Sequence[bytes]) -> None:
        """Keep a part of the stream of an answer in the background: it can be asked for again."""
        if pieces and self._keeping.background:
            first, self._events = self._events, self._events + len(pieces)
            try:
                await self._tried(self._archive.append(self.id, first, pieces))
            except asyncio.CancelledError:
                # Whether it was done is not known, and a gap in what is kept could not be filled later.
                await self._tried(self._archive.append(self.id, first, pieces))
                raise

    async def whole(self, answers: Sequence[AccumulatedMessage], body: bytes) -> None:
        """The answer is made."""
        await self._end(self._documents.completed(self._decoded, self._identity, answers, body))

    async def failed(self, error: GatewayError, *, begun: bool) -> None:
        """It broke off; kept where somebody knows its id.

        Args:
            error: What ended it.
            begun: Whether its client was told a part of it.
        """
        if isinstance(self._documents, BackgroundFormat) and (begun or self.begun):
            document = self.begun or self._documents.queued(self._decoded, self._identity)
            await self._end(self._documents.failed(document, error))

    async def cancelled(self) -> None:
        """Nobody wants it any more."""
        if isinstance(self._documents, BackgroundFormat) and self.begun:
            await self._end(self._documents.cancelled(self.begun))

    async def _end(self, document: bytes) -> None:
        async with self._writing:
            self._over = True
            if self.begun:
                await self._tried(self._archive.finish(self.id, document))
            else:
                await self._tried(self._archive.add(self._entry(document)))

    async def _tried(self, write: Awaitable[object]) -> None:
        try:
            await write
        except StoreFailed as error:
            log.warning("answer.not_kept", id=self.id)
            self.warnings += (RequestWarning("not_kept", "store", error.message),)

    def _entry(self, document: bytes) -> StoredEntry:
        return StoredEntry(
            id=self.id,
            owner=self._hands.owner,
            kind=self._documents.kind,
            model=self._decoded.resolved.model.id,
            created=self._identity.created,
            parent=self._keeping.parent,
            metadata=self._keeping.metadata,
            body=document,
        )
