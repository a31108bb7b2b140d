"""Random ids of requests and runs."""

import os
from threading import Lock

_ID_BYTES = 16
_POOL_BYTES = 256 * _ID_BYTES


class RandomIds:
    """Makes random ids from the operating system's randomness, which is fetched for many ids at once.

    A forked process fetches its own.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._digits = ""
        self._position = 0
        os.register_at_fork(after_in_child=self._discard)

    def __call__(self, prefix: str) -> str:
        """Return the prefix and 32 hexadecimal digits."""
        with self._lock:
            start = self._position
            if start == len(self._digits):
                self._digits, start = os.urandom(_POOL_BYTES).hex(), 0
            self._position = end = start + 2 * _ID_BYTES
            return prefix + self._digits[start:end]

    def _discard(self) -> None:
        self._lock = Lock()
        self._digits, self._position = "", 0


new_id = RandomIds()
