"""Test suites that every store must pass, also stores of other projects.

A suite is a class to inherit from. It imports no pytest, and pytest runs it with pytest-asyncio in `auto` mode:

    class TestMyResponseStore(ResponseStoreSuite):
        def opened(self, where, limits, clock):
            return contextlib.aclosing(MyResponseStore(where, limits, clock))
"""

from dragoman.testing.access import AccessStoreSuite
from dragoman.testing.key_values import Clock, KeyValueStoreSuite
from dragoman.testing.ledger import LedgerSuite, SharedLimitsSuite
from dragoman.testing.recordings import RecordingStoreSuite
from dragoman.testing.response_cache import ResponseCacheSuite
from dragoman.testing.run_records import RunStoreSuite
from dragoman.testing.stored_responses import ResponseStoreSuite

__all__ = [
    "AccessStoreSuite",
    "Clock",
    "KeyValueStoreSuite",
    "LedgerSuite",
    "RecordingStoreSuite",
    "ResponseCacheSuite",
    "ResponseStoreSuite",
    "RunStoreSuite",
    "SharedLimitsSuite",
]
