"""The processes of all nodes, in the table that shows which of them are alive."""

from collections.abc import Sequence

from dragoman.core.errors import StoreFailed
from dragoman.core.supervise import describe
from dragoman.stores.nodes import NodeRecord
from dragoman.stores.postgres.database import PostgresDatabase
from dragoman.stores.postgres.server import ENDED_SECONDS
from dragoman.stores.sql.database import Connection

_BEAT = """
WITH own AS (
    INSERT INTO processes (name, gateway, address, version, draining, seen)
    VALUES (?, ?, ?, ?, ?, extract(epoch FROM clock_timestamp()))
    ON CONFLICT (name) DO UPDATE SET gateway = excluded.gateway, address = excluded.address,
        version = excluded.version, draining = excluded.draining, seen = excluded.seen
), gone AS (
    DELETE FROM processes WHERE name <> ? AND seen < extract(epoch FROM clock_timestamp()) - ?
)
SELECT name, gateway, address, version, draining FROM processes
WHERE address <> '' AND name <> ? AND seen > extract(epoch FROM clock_timestamp()) - ?
"""
_FORGOTTEN_SECONDS = 86_400
"""Seconds after which the row of a process that has ended is deleted."""


class PostgresNodes:
    """See `dragoman.server.nodes.NodeStore`.

    Args:
        database: Where the processes are listed. It is not closed.
    """

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def beat(self, own: NodeRecord) -> Sequence[NodeRecord]:
        """See `NodeStore.beat`."""

        def work(connection: Connection) -> Sequence[NodeRecord]:
            row = (own.process, own.gateway, own.address, own.version, own.draining)
            values = (*row, own.process, _FORGOTTEN_SECONDS, own.process, ENDED_SECONDS)
            return [
                NodeRecord(process=name, gateway=gateway, address=address, version=version, draining=draining)
                for name, gateway, address, version, draining in connection.execute(_BEAT, values).fetchall()
            ]

        return await self._database.write(work)


def failed(place: str, error: Exception) -> StoreFailed:
    """Return the error of a list that could not be read. The task that reads it logs the reason."""
    return StoreFailed(f"The list of nodes in {place} could not be read: {describe(error)}.")
