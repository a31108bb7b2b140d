"""The stores in a PostgreSQL server. They are those of `dragoman.stores.sql`, on the server's clock."""

from collections.abc import Callable

from dragoman.stores.base import ResponseStoreLimits
from dragoman.stores.postgres.database import PostgresDatabase
from dragoman.stores.postgres.server import PostgresServer
from dragoman.stores.sql import access, key_values, ledger, recordings, responses, run_records


class PostgresStores:
    """All stores of one server.

    Args:
        server: The server. The caller closes it, after the stores.
        clock: Seconds since 1970. By default the server's clock, so that those of the nodes do not matter.
    """

    def __init__(self, server: PostgresServer, clock: Callable[[], float] | None = None) -> None:
        self._server = server
        self._clock = clock or server.clock

    def access(self) -> access.SQLAccessStore:
        """Return the store of keys, teams and the audit log."""
        return access.SQLAccessStore(PostgresDatabase(self._server, "access", access.failed))

    def key_values(self, *, ttl: float, entries: int) -> key_values.SQLKeyValueStore:
        """Return the store of thinking that is kept for clients; see `SQLKeyValueStore`."""
        database = PostgresDatabase(self._server, "thinking", key_values.failed)
        return key_values.SQLKeyValueStore(database, ttl=ttl, entries=entries, clock=self._clock)

    def ledger(self) -> ledger.SQLLedger:
        """Return the ledger, with the counters of limits and budgets."""
        return ledger.SQLLedger(PostgresDatabase(self._server, "ledger", ledger.failed))

    def recordings(
        self, *, ttl: float, size: int, alive: Callable[[str], bool] | None = None
    ) -> recordings.SQLRecordingStore:
        """Return the store of recorded responses; see `SQLRecordingStore`."""
        database = PostgresDatabase(self._server, "recordings", recordings.failed)
        return recordings.SQLRecordingStore(database, ttl=ttl, size=size, clock=self._clock, alive=alive)

    def responses(self, limits: ResponseStoreLimits | None = None) -> responses.SQLResponseStore:
        """Return the store of responses; see `SQLResponseStore`."""
        database = PostgresDatabase(self._server, "responses", responses.failed)
        return responses.SQLResponseStore(database, limits, clock=self._clock)

    def runs(self, *, ttl: float, entries: int) -> run_records.SQLRunStore:
        """Return the store of records of runs; see `SQLRunStore`."""
        database = PostgresDatabase(self._server, "runs", run_records.failed)
        return run_records.SQLRunStore(database, ttl=ttl, entries=entries, clock=self._clock)
