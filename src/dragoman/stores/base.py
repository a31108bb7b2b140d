"""What stores promise. `dragoman.testing` holds the suites that every implementation has to pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol


class KeyValueStore(Protocol):
    """Small values kept for a time, by name. A cache: what is not found was forgotten, and nobody is surprised.

    Safe to use from many tasks, and where the implementation says so from many processes. A value is there for `get`
    as soon as its `put` has returned. Trouble with the storage is logged and never raised: it forgets. Cancelling a
    call leaves the store whole.
    """

    async def get(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """The values that are still there, by name."""
        ...

    async def put(self, name: str, value: bytes) -> None:
        """Keep a value, in place of one that had the name before. The oldest go where the store is full."""
        ...

    async def aclose(self) -> None:
        """Let go of every file and connection. Idempotent; nothing may be called after it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """An answer that is kept, with what was asked.

    Attributes:
        id: Its name, unique among all entries.
        owner: Whose it is; nobody else gets to see it.
        kind: What it is; entries are listed by kind.
        model: The model that answered.
        created: Seconds since 1970.
        parent: The entry that it goes on from, if it goes on from one.
        metadata: The client's own words about it.
        body: All of it, in a form that is the owner's business.
    """

    id: str
    owner: str
    kind: str
    model: str
    created: int
    parent: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    body: bytes


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry as it was found.

    Attributes:
        entry: The entry.
        pending: Whether somebody is still at work on it.
        abandoned: Whether somebody was, and has not been heard of for too long: nobody will finish it.
    """

    entry: StoredEntry
    pending: bool = False
    abandoned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryQuery:
    """What part of a list is wanted.

    Attributes:
        kind: The kind of entries.
        model: Only those of this model.
        metadata: Only those that have all of these.
        after: Those behind the entry of this id.
        limit: The most entries.
        order: Oldest first, or newest.
    """

    kind: str
    model: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    after: str | None = None
    limit: int = 20
    order: Literal["asc", "desc"] = "asc"


@dataclass(frozen=True, slots=True)
class EntryPage:
    """A part of a list.

    Attributes:
        entries: What is in it.
        more: Whether there is more behind it.
    """

    entries: Sequence[StoredEntry]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseStoreLimits:
    """How much an archive keeps.

    Attributes:
        ttl: Seconds that an entry is kept.
        entries: The most entries.
        size: The most bytes of bodies and events.
        lease: Seconds after which an entry that its holder has not renewed is abandoned.
    """

    ttl: float = 30 * 86_400.0
    entries: int = 100_000
    size: int = 2**30
    lease: float = 30.0


class ResponseStore(Protocol):
    """Answers kept for their owners, for a time and within limits.

    Safe to use from many tasks, and where the implementation says so from many processes and machines. Whatever a call
    changed is there for every later call as soon as it has returned, and safe from a crash of the process. Each call is
    done whole or not at all, also when it is cancelled, and may be made again after a failure: all of them are
    idempotent.

    An entry that goes on from another keeps that one's body alive: where the other is deleted or too old, nobody gets
    to see it any more, but `chain` still holds it until the last that goes on from it is gone.

    Every method but `aclose` raises `StoreFailed` where the storage cannot be used.
    """

    async def add(self, entry: StoredEntry, holder: str | None = None) -> None:
        """Keep an entry; nothing happens where its id is there already.

        What is too old goes then, and where there is too much, the conversation that was longest left alone, from its
        end. The new entry itself, those it goes on from, and those somebody is at work on always stay.

        Args:
            entry: The entry.
            holder: Who is at work on it still, if somebody is. Unless he renews it, it is soon abandoned.
        """
        ...

    async def get(self, owner: str, id_: str) -> FoundEntry | None:
        """An entry by its id."""
        ...

    async def chain(self, owner: str, id_: str) -> Sequence[StoredEntry]:
        """An entry and all that it goes on from, the oldest first; nothing where there is no such entry."""
        ...

    async def page(self, owner: str, query: EntryQuery) -> EntryPage | None:
        """Entries that nobody is at work on, in the order in which they were added; None where `after` is none."""
        ...

    async def update(self, entry: StoredEntry) -> bool:
        """Put another body and other metadata in the place of those of the entry with its id and owner.

        Returns:
            Whether there is one.
        """
        ...

    async def delete(self, owner: str, id_: str) -> bool:
        """Let nobody see an entry any more, whether or not somebody is at work on it.

        Returns:
            Whether it could be seen before.
        """
        ...

    async def renew(self, holder: str) -> frozenset[str]:
        """Tell that the holder is still at work.

        Returns:
            The ids that he still holds. Those that are not among them were settled or deleted by somebody else.
        """
        ...

    async def finish(self, id_: str, body: bytes) -> bool:
        """Put the final body in the place of that of an entry that somebody is at work on: the first to do so wins.

        Returns:
            Whether it was this call that did.
        """
        ...

    async def append(self, id_: str, first: int, events: Sequence[bytes]) -> None:
        """Keep events beside an entry, numbered on from `first`. Those whose number is there stay as they are."""
        ...

    async def events(self, id_: str, first: int) -> Sequence[bytes]:
        """The events of an entry from a number on, in their order."""
        ...

    async def aclose(self) -> None:
        """Let go of every file and connection. Idempotent; nothing may be called after it."""
        ...


class SpendingLedger(Protocol):
    """What was spent, by name and day. Sums are exact: amounts are whole trillionths of a dollar.

    Several processes may add to one: each is told the sum of all. Cancelling a call leaves it whole.
    """

    async def spent(self, name: str, day: str) -> int:
        """What was spent so far.

        Raises:
            OSError: It cannot be known; the text says why.
        """
        ...

    async def add(self, name: str, day: str, amount: int) -> int:
        """Write down what was spent, and give the new sum. It is safe from a crash once this has returned.

        Raises:
            OSError: It could not be written; the text says why.
        """
        ...

    async def aclose(self) -> None:
        """Let go of every file and connection. Idempotent; nothing may be called after it."""
        ...
