"""Test suites that every store must pass, also stores written by others.

A suite is a class to inherit from. It imports no pytest, but is run by pytest with pytest-asyncio in `auto` mode:

    class TestMyArchive(ResponseStoreSuite):
        def opened(self, where, limits, clock):
            return contextlib.aclosing(MyArchive(where, limits, clock))
"""

from dragoman.testing.key_values import Clock, KeyValueStoreSuite
from dragoman.testing.run_records import RunStoreSuite
from dragoman.testing.stored_responses import ResponseStoreSuite

__all__ = ["Clock", "KeyValueStoreSuite", "ResponseStoreSuite", "RunStoreSuite"]
