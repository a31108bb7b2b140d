"""The protocols of stores. `dragoman.testing` has the test suites that every implementation must pass."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Literal, Protocol

from dragoman.core.value_object import value_object


class KeyValueStore(Protocol):
    """Stores small values by name for a limited time. It is a cache: a value may be missing at any time.

    Safe to use from many tasks, and from many processes if the implementation says so. `get` sees a value as soon as
    its `put` has returned. Errors of the storage are logged and not raised: the value is missing. Cancelling a call
    leaves the store consistent.
    """

    async def get(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return the values that are stored, by name."""
        ...

    def is_empty(self) -> bool:
        """Return whether the store certainly holds nothing; False if that is not known without a read."""
        ...

    async def put(self, name: str, value: bytes) -> None:
        """Store a value, and replace one of the same name. The oldest are deleted when the store is full."""
        ...

    async def aclose(self) -> None:
        """Close every file and connection. Idempotent. No call may follow."""
        ...


@value_object(kw_only=True)
class StoredEntry:
    """A stored response with its request.

    Attributes:
        id: Unique among all entries.
        owner: The name of the key that owns it. Other keys cannot see it.
        kind: The kind of response. Entries are listed by kind.
        model: The id of the model.
        created: Seconds since 1970.
        parent: The id of the entry that it continues.
        metadata: Set by the client.
        body: Request and response, in the format of the dialect.
    """

    id: str
    owner: str
    kind: str
    model: str
    created: int
    parent: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    body: bytes


@value_object
class FoundEntry:
    """An entry with the state of its lease.

    Attributes:
        entry: The entry.
        pending: Whether a producer is still producing it, or will: it may be queued.
        abandoned: Whether its producer has not renewed the lease in time, so that no one will finish it.
    """

    entry: StoredEntry
    pending: bool = False
    abandoned: bool = False


@value_object
class QueuedEntry:
    """An entry whose production has not begun, and what another producer needs for it.

    Attributes:
        entry: The entry.
        request: The request.
    """

    entry: StoredEntry
    request: bytes


@value_object(kw_only=True)
class EntryQuery:
    """A filter and a position in a list of entries.

    Attributes:
        kind: The kind of entries.
        model: Only entries of this model.
        metadata: Only entries that have all of these.
        after: Only entries behind the entry of this id.
        limit: The maximum number of entries.
        order: Oldest first (`asc`) or newest first (`desc`).
    """

    kind: str
    model: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    after: str | None = None
    limit: int = 20
    order: Literal["asc", "desc"] = "asc"


@value_object
class EntryPage:
    """A part of a list of entries.

    Attributes:
        entries: The entries.
        more: Whether more entries follow.
    """

    entries: Sequence[StoredEntry]
    more: bool


@value_object(kw_only=True)
class ResponseStoreLimits:
    """How much a response store holds.

    Attributes:
        ttl: Seconds that an entry is stored.
        entries: The maximum number of entries.
        size: The maximum number of bytes of bodies and events.
        lease: Seconds after which an entry is abandoned if its producer has not renewed it.
    """

    ttl: float = 30 * 86_400.0
    entries: int = 100_000
    size: int = 2**30
    lease: float = 30.0


class ResponseStore(Protocol):
    """Stores responses for their owners, for a limited time and within limits.

    Safe to use from many tasks, and from many processes and machines if the implementation says so. A later call sees
    every change of a call that has returned, and a crash of the process does not lose it. Each call takes effect
    completely or not at all, also when it is cancelled. All calls are idempotent, so a call may be repeated after a
    failure.

    An entry that continues another one keeps the body of that one: if the parent is deleted or too old, it is no longer
    visible, but `chain` returns it until the last entry that continues it is gone.

    Every method but `aclose` raises `StoreFailed` if the storage cannot be used.
    """

    async def add(self, entry: StoredEntry, producer: str | None = None, request: bytes | None = None) -> None:
        """Store an entry. Do nothing if its id is stored already.

        Entries that are too old are deleted. If the store is over its limits, entries are deleted from the end of the
        conversation that was unused for longest. The new entry, its ancestors and entries with a valid lease stay.

        Args:
            entry: The entry.
            producer: Who is still producing it, if it is not finished. It is abandoned unless the producer renews it.
            request: What another producer needs, encrypted in the store. Until `begin` the entry is queued: it is not
                abandoned when its lease ends, and another producer may take it over.
        """
        ...

    async def get(self, owner: str, id_: str) -> FoundEntry | None:
        """Return an entry by its id."""
        ...

    async def chain(self, owner: str, id_: str) -> Sequence[StoredEntry]:
        """Return an entry and all its ancestors, the oldest first; nothing if there is no such entry."""
        ...

    async def page(self, owner: str, query: EntryQuery) -> EntryPage | None:
        """Return finished entries in the order in which they were added, or None if no entry has the id `after`."""
        ...

    async def update(self, entry: StoredEntry) -> bool:
        """Replace body and metadata of the entry with this id and owner.

        Returns:
            Whether there is such an entry.
        """
        ...

    async def delete(self, owner: str, id_: str) -> bool:
        """Hide an entry from now on, also if its producer is still producing it.

        Returns:
            Whether it was visible before.
        """
        ...

    async def begin(self, id_: str, producer: str) -> bool:
        """Note that a producer begins to produce a queued entry. From then on no other one can take it over.

        Returns:
            Whether the producer holds the entry. If not, it must not begin.
        """
        ...

    async def hand_over(self, producer: str, ids: Sequence[str]) -> frozenset[str]:
        """End the leases of entries that are queued, so that another producer takes them over.

        Returns:
            The ids of those that were queued and held by the producer.
        """
        ...

    async def take_over(self, producer: str, limit: int) -> Sequence[QueuedEntry]:
        """Give a producer queued entries whose leases have ended, the oldest first.

        Args:
            producer: Who produces them now.
            limit: The maximum number of entries.
        """
        ...

    async def renew(self, producer: str) -> frozenset[str]:
        """Extend the leases of a producer.

        Returns:
            The ids of the entries that it still holds. The others were finished or deleted by someone else.
        """
        ...

    async def finish(self, id_: str, body: bytes) -> bool:
        """Replace the body of an entry that has a producer, and end its lease. Only the first call does so.

        Returns:
            Whether this call did.
        """
        ...

    async def append(self, id_: str, first: int, events: Sequence[bytes]) -> None:
        """Store events of an entry, numbered from `first`. Events whose number is stored stay as they are."""
        ...

    async def events(self, id_: str, first: int) -> Sequence[bytes]:
        """Return the events of an entry from a number on, in order."""
        ...

    async def aclose(self) -> None:
        """Close every file and connection. Idempotent. No call may follow."""
        ...
