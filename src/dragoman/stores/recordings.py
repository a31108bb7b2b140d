"""Recorded responses of requests with an `Idempotency-Key`, and the protocol of a store for them."""

from typing import Protocol

from dragoman.core.value_object import value_object


@value_object
class RecordingName:
    """What a recording is found by.

    Attributes:
        owner: The name of the client key. Clients never see the recordings of others.
        key: The client's `Idempotency-Key`.
    """

    owner: str
    key: str


@value_object
class Claim:
    """What a store holds under a name that is taken.

    Attributes:
        request: The fingerprint of the request.
        producer: The process that carries the request out, or did.
        response: The recorded response; None: it is not complete.
        interrupted: Whether it never will be complete: its producer has ended.
    """

    request: bytes
    producer: str
    response: bytes | None = None
    interrupted: bool = False


class RecordingStore(Protocol):
    """Stores one response for each name, for a limited time and up to a maximum size.

    Safe to use from many tasks, and from many processes if the implementation says so: of several that claim a name at
    the same time, exactly one gets it. Each call takes effect completely or not at all, also when it is cancelled. When
    the store is full, the oldest responses of the owner with the most bytes are deleted.

    Every method but `aclose` raises `StoreFailed` if the storage cannot be used.
    """

    async def claim(self, name: RecordingName, request: bytes, producer: str) -> Claim | None:
        """Take a name for a request that is about to be carried out.

        Args:
            name: The name.
            request: The fingerprint of the request.
            producer: The process that carries it out.

        Returns:
            None: the name is taken for this request now. Otherwise what it was taken for before.
        """
        ...

    async def finish(self, name: RecordingName, producer: str, response: bytes) -> bool:
        """Store the complete response.

        Returns:
            Whether it is stored. It is not if it is larger than the whole store, or if the producer does not hold the
            name; in the first case the name is free again.
        """
        ...

    async def release(self, name: RecordingName, producer: str) -> None:
        """Free a name whose request was not carried out, if the producer holds it."""
        ...

    async def aclose(self) -> None:
        """Close every file and connection. Idempotent. No call may follow."""
        ...
