"""The stores in PostgreSQL: the suites of all stores."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from engine_fixtures import Postgres, opened_server

from dragoman.stores.access import AccessStore
from dragoman.stores.base import KeyValueStore, ResponseStore, ResponseStoreLimits
from dragoman.stores.ledger import SharedLimits
from dragoman.stores.postgres.stores import PostgresStores
from dragoman.stores.recordings import RecordingStore
from dragoman.stores.run_records import RunStore
from dragoman.testing import (
    AccessStoreSuite,
    Clock,
    KeyValueStoreSuite,
    RecordingStoreSuite,
    ResponseStoreSuite,
    RunStoreSuite,
    SharedLimitsSuite,
)


class OnPostgres:
    """Opens stores for a suite: each as one node, those of a directory with the same tables."""

    @pytest.fixture(autouse=True)
    def _postgres(self, postgres: Postgres) -> None:
        self.postgres = postgres

    @asynccontextmanager
    async def open(
        self, where: Path, make: Callable[[PostgresStores], Any], clock: Clock | None = None
    ) -> AsyncIterator[Any]:
        """Open one store of a node."""
        async with opened_server(self.postgres, where) as server:
            store = make(PostgresStores(server, clock))
            yield store
            await store.aclose()


class TestAccess(OnPostgres, AccessStoreSuite):
    """Keys and teams."""

    def opened(self, where: Path) -> AbstractAsyncContextManager[AccessStore]:
        """Open the store."""
        return self.open(where, PostgresStores.access)


class TestKeyValues(OnPostgres, KeyValueStoreSuite):
    """Thinking that is kept for clients."""

    def opened(self, where: Path, ttl: float, entries: int, clock: Clock) -> AbstractAsyncContextManager[KeyValueStore]:
        """Open the store."""
        return self.open(where, lambda stores: stores.key_values(ttl=ttl, entries=entries), clock)


class TestLedger(OnPostgres, SharedLimitsSuite):
    """The ledger and the counters."""

    def opened(self, where: Path) -> AbstractAsyncContextManager[SharedLimits]:
        """Open the ledger."""
        return self.open(where, PostgresStores.ledger)


class TestRecordings(OnPostgres, RecordingStoreSuite):
    """Recorded responses."""

    def opened(
        self, where: Path, ttl: float, size: int, clock: Clock, alive: Callable[[str], bool]
    ) -> AbstractAsyncContextManager[RecordingStore]:
        """Open the store."""
        return self.open(where, lambda stores: stores.recordings(ttl=ttl, size=size, alive=alive), clock)


class TestResponses(OnPostgres, ResponseStoreSuite):
    """Stored responses."""

    def opened(
        self, where: Path, limits: ResponseStoreLimits, clock: Clock
    ) -> AbstractAsyncContextManager[ResponseStore]:
        """Open the store."""
        return self.open(where, lambda stores: stores.responses(limits), clock)


class TestRuns(OnPostgres, RunStoreSuite):
    """Records of runs."""

    def opened(self, where: Path, clock: Clock, *, ttl: float, entries: int) -> AbstractAsyncContextManager[RunStore]:
        """Open the store."""
        return self.open(where, lambda stores: stores.runs(ttl=ttl, entries=entries), clock)
