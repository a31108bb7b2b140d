"""The stores in a PostgreSQL server. They are those of `dragoman.stores.sql`, on the server's clock."""

from collections.abc import Callable

from dragoman.stores.base import ResponseStoreLimits
from dragoman.stores.crypto import Cipher
from dragoman.stores.postgres import nodes
from dragoman.stores.postgres.database import PostgresDatabase
from dragoman.stores.postgres.nodes import PostgresNodes
from dragoman.stores.postgres.server import PostgresServer
from dragoman.stores.sql import access, key_values, ledger, recordings, responses, run_records
from dragoman.stores.sql.database import Connection


class PostgresStores:
    """All stores of one server; see `dragoman.stores.sql.stores.Stores`.

    Args:
        server: The server. It is closed with this.
        clock: Seconds since 1970. By default the server's clock, so that those of the nodes do not matter.
    """

    lease_ms = 60_000

    def __init__(self, server: PostgresServer, clock: Callable[[], float] | None = None) -> None:
        self.node = server.node
        self.process = server.process
        self.clock = clock or server.clock
        self.ms = server.ms
        self.server = server
        self._simulated: PostgresServer | None = None

    def cipher(self, name: str) -> Cipher:
        """See `Stores.cipher`. Its key is derived from that of the settings."""
        return Cipher(self.server.derived_key(name))

    def access(self) -> access.SQLAccessStore:
        """See `Stores.access`."""
        return access.SQLAccessStore(PostgresDatabase(self.server, "access", access.failed))

    def key_values(self, *, ttl: float, entries: int) -> key_values.SQLKeyValueStore:
        """See `Stores.key_values`."""
        database = PostgresDatabase(self.server, "thinking", key_values.failed)
        return key_values.SQLKeyValueStore(database, ttl=ttl, entries=entries, clock=self.clock)

    def ledger(self, *, simulated: bool = False) -> ledger.SQLLedger:
        """See `Stores.ledger`."""
        return ledger.SQLLedger(PostgresDatabase(self._server_of(simulated=simulated), "ledger", ledger.failed))

    def recordings(
        self, *, ttl: float, size: int, alive: Callable[[str], bool] | None = None
    ) -> recordings.SQLRecordingStore:
        """See `Stores.recordings`."""
        database = PostgresDatabase(self.server, "recordings", recordings.failed)
        return recordings.SQLRecordingStore(database, ttl=ttl, size=size, clock=self.clock, alive=alive)

    def nodes(self) -> PostgresNodes:
        """See `Stores.nodes`."""
        return PostgresNodes(PostgresDatabase(self.server, "nodes", nodes.failed))

    def responses(self, limits: ResponseStoreLimits | None = None) -> responses.SQLResponseStore:
        """See `Stores.responses`."""
        database = PostgresDatabase(self.server, "responses", responses.failed)
        return responses.SQLResponseStore(database, limits, clock=self.clock)

    def runs(self, *, ttl: float, entries: int) -> run_records.SQLRunStore:
        """See `Stores.runs`."""
        database = PostgresDatabase(self.server, "runs", run_records.failed)
        return run_records.SQLRunStore(database, ttl=ttl, entries=entries, clock=self.clock)

    async def fact(self, name: str, value: bytes, *, simulated: bool = False) -> bytes:
        """Store a value that is the same for all nodes, unless there is one. Return the stored one.

        Raises:
            StoreFailed: The server cannot be used.
        """
        server = self._server_of(simulated=simulated)

        def work(db: Connection) -> bytes:
            db.execute("INSERT INTO facts VALUES (?, ?) ON CONFLICT DO NOTHING", (name, value)).close()
            [stored] = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
            return bytes(stored)

        return await PostgresDatabase(server, "facts", ledger.failed).write(work)

    def _server_of(self, *, simulated: bool) -> PostgresServer:
        if not simulated:
            return self.server
        if self._simulated is None:
            self._simulated = self.server.with_schema("dragoman_simulated")
        return self._simulated

    async def aclose(self) -> None:
        """See `Stores.aclose`."""
        for server in (self.server, self._simulated):
            if server is not None:
                await server.aclose()
