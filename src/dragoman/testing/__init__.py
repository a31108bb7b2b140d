"""Suites that every implementation of a store has to pass, for stores of others as well as for our own.

A suite is a class to inherit from. It imports no pytest but is made to be run by it, with pytest-asyncio in its mode
`auto`:

    class TestMyArchive(ArchiveSuite):
        def opened(self, where, limits, clock):
            return contextlib.aclosing(MyArchive(where, limits, clock))
"""

from dragoman.testing.archives import ArchiveSuite
from dragoman.testing.clock import Clock
from dragoman.testing.keeps import KeepSuite
from dragoman.testing.run_stores import RunStoreSuite

__all__ = ["ArchiveSuite", "Clock", "KeepSuite", "RunStoreSuite"]
