"""Recognize a request that begins as an earlier one did, and read only the rest of it.

An agent's next request is its last one with some messages more: up to these, the bytes are the same. So the beginning
of a request is kept, up to the comma before its last message. In a request that begins with the same bytes, a mark
takes the place of the known messages. The shorter body is decoded as any other, and the known messages take the place
of the mark again.

A start is only kept after a test: the request that it was made from, shortened in this way, must decode to the same
fields and messages. So it ends where a message ends, and the JSON after it is read in the same state as in full.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeAlias, TypeVar

from dragoman.dialects.shared.conversation import PlainRun

MARK = b"%d" % (2**62 + secrets.randbelow(2**61))
"""A number that no message is. It is another one in each process, so no client can send it."""

MAX_START_BYTES = 4 * 1024 * 1024
"""The conversations of some forty agents with 100 KB each. Twice as much made small requests 4 % slower."""

_SAMPLE = 32
_MAX_WITH_SAME_KEY = 4

_ValueT = TypeVar("_ValueT")
_FieldsT = TypeVar("_FieldsT")
_Decoded: TypeAlias = tuple[_FieldsT, list[bytes]]


@dataclass(slots=True, eq=False)
class KnownStart(Generic[_ValueT]):
    """The beginning of a request, up to the comma before one of its messages. Many requests may share it.

    Attributes:
        content: Its bytes.
        head: Its bytes up to the first known message, and the mark.
        messages: What was made of each known message. They must not be changed.
        run: Which messages of the request they are.
    """

    content: bytes
    head: bytes
    messages: Sequence[_ValueT]
    run: PlainRun

    def shorten(self, raw: bytes) -> bytes:
        """Return a request that begins with this start, with the mark instead of the known messages."""
        return self.head + raw[len(self.content) :]

    def is_in(self, contents: Sequence[bytes]) -> bool:
        """Return whether the mark is in its place among the messages of a shortened request."""
        return len(contents) > self.run.first and contents[self.run.first] == MARK


class KnownStarts(Generic[_ValueT]):
    """The starts of earlier requests. The least recently used ones are dropped. Several threads may use it.

    Args:
        max_bytes: The maximum size of their contents. One may have a quarter of it.
        min_messages: How many messages a start has at least.
        step: Bytes between two lengths at which starts are looked for. A start is longer than that.

    Attributes:
        step: See above.
    """

    def __init__(self, max_bytes: int, *, min_messages: int = 8, step: int = 4096) -> None:
        self._max_bytes, self._max_length = max_bytes, max_bytes // 4
        self._min_messages = min_messages
        self.step = step
        self._bytes = 0
        self._lock = Lock()
        self._starts: OrderedDict[int, tuple[KnownStart[_ValueT], ...]] = OrderedDict()

    def find(self, raw: bytes) -> KnownStart[_ValueT] | None:
        """Return the start that a request begins with, the longest one; None if there is none."""
        starts = self._starts
        if not starts:
            return None  # before the keys are made
        for key in reversed([*self._keys(raw)]):
            for start in starts.get(key, ()):
                if raw.startswith(start.content):
                    with suppress(KeyError):  # another thread may have dropped it
                        starts.move_to_end(key)
                    return start
        return None

    def learn(
        self,
        raw: bytes,
        decode: Callable[[bytes], _Decoded[_FieldsT] | None],
        decoded: _Decoded[_FieldsT],
        plain: Sequence[_ValueT | None],
        known: KnownStart[_ValueT] | None,
    ) -> KnownStart[_ValueT] | None:
        """Keep the start of a request up to the first message that is not plain, or to the last one.

        Args:
            raw: The request.
            decode: Returns the other fields of a request, and the JSON of its messages.
            decoded: The same of this request, or of the shortened one if it begins with a known start.
            plain: What was made of each of these messages; None for one that is not plain, and for the mark.
            known: The start that it begins with.

        Returns:
            The start; None if it is no longer than the known one, is too short, or fails the test.
        """
        fields, contents = decoded
        first = known.run.first if known else next((index for index, one in enumerate(plain) if one is not None), 0)
        begin = first + 1 if known else first
        end = next((index for index in range(begin, len(plain)) if plain[index] is None), len(plain) - 1)
        new = [one for one in plain[begin:end] if one is not None]
        if not new or (known is None and len(new) < self._min_messages):
            return None
        length = raw.rfind(b",", 0, max(0, raw.rfind(contents[end])))
        if not self.step <= length <= self._max_length:
            return None
        if known is not None:
            head, messages = known.head, [*known.messages, *new]
        else:
            position = raw.find(contents[first])
            head, messages = raw[: raw.rfind(b",", 0, position) + 1 if first else position] + MARK, new
        start = KnownStart(raw[:length], head, messages, PlainRun(first, first + len(messages)))
        if decode(start.shorten(raw)) != (fields, [*contents[:first], MARK, *contents[end:]]):
            return None
        self._put(start, known)
        return start

    def _put(self, start: KnownStart[_ValueT], instead_of: KnownStart[_ValueT] | None) -> None:
        key = self._key(start.content)
        with self._lock:
            if instead_of is not None:
                self._remove(instead_of)
            for dropped in self._starts.get(key, ())[_MAX_WITH_SAME_KEY - 1 :]:
                self._remove(dropped)
            self._starts[key] = (start, *self._starts.get(key, ()))
            self._starts.move_to_end(key)
            self._bytes += len(start.content)
            while self._bytes > self._max_bytes:
                _, dropped_starts = self._starts.popitem(last=False)
                self._bytes -= sum(len(one.content) for one in dropped_starts)

    def _remove(self, start: KnownStart[_ValueT]) -> None:
        key = self._key(start.content)
        starts = self._starts.get(key, ())
        if start not in starts:
            return
        self._bytes -= len(start.content)
        self._starts[key] = tuple(one for one in starts if one is not start)
        if not self._starts[key]:
            del self._starts[key]

    def _key(self, content: bytes) -> int:
        return [*self._keys(content)][-1]

    def _keys(self, content: bytes) -> Iterator[int]:
        """Return a key for each length at which a start may be found, made of samples of what is before."""
        key = 0
        for end in range(self.step, min(len(content), self._max_length) + 1, self.step):
            key = hash((key, content[end - _SAMPLE : end]))
            yield key
