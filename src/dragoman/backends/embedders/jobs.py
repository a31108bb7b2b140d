"""Requests that wait for vectors, cut into batches that several of them share."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.backends.base import Embedded
from dragoman.backends.embedders.frames import Vector


class Job:
    """One request, from its place in the queue to its last vector.

    Attributes:
        inputs: What it asks for.
        answer: Its vectors, or what became of it.
    """

    def __init__(self, inputs: Sequence[str | list[int]]) -> None:
        self.inputs = inputs
        self.answer: asyncio.Future[Embedded] = asyncio.get_running_loop().create_future()
        self._vectors: dict[int, Vector] = {}
        self._taken = 0

    @property
    def whole(self) -> bool:
        """Whether nothing of it waits any more."""
        return self._taken == len(self.inputs) or self.answer.done()

    def take(self, most: int) -> range:
        """The places of the next inputs that nobody has taken."""
        start, self._taken = self._taken, min(self._taken + most, len(self.inputs))
        return range(start, self._taken)

    def deliver(self, place: int, vector: Vector) -> None:
        """Give it one of its vectors."""
        self._vectors[place] = vector
        if len(self._vectors) == len(self.inputs) and not self.answer.done():
            ordered = [self._vectors[index] for index in range(len(self.inputs))]
            truncated = [index for index, one in enumerate(ordered) if one.truncated]
            self.answer.set_result(Embedded([one.data for one in ordered], sum(o.tokens for o in ordered), truncated))

    def fail(self, error: Exception) -> None:
        """Let it end without vectors; the first error stands."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True, slots=True)
class Piece:
    """One input of one request."""

    job: Job
    place: int

    @property
    def input(self) -> str | list[int]:
        """The input itself."""
        return self.job.inputs[self.place]


class Jobs:
    """The queue. Requests take turns, so that a short one does not wait for all of a long one."""

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, job: Job) -> None:
        """Let one more wait."""
        self._waiting.append(job)

    def discard(self, job: Job) -> None:
        """Let one of them wait no longer, if it still does."""
        if job in self._waiting:
            self._waiting.remove(job)

    def batch(self, most: int) -> list[Piece]:
        """The next inputs: an equal part of each request, and more of those that have more."""
        share = max(1, most // max(1, len(self._waiting)))
        pieces: list[Piece] = []
        while self._waiting and len(pieces) < most:
            job = self._waiting.popleft()
            if not job.answer.done():
                pieces += [Piece(job, place) for place in job.take(min(share, most - len(pieces)))]
            if not job.whole:
                self._waiting.append(job)
        return pieces
