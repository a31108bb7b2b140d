"""A `KeyValueStore` in SQL. Values are encrypted."""

import time
from collections.abc import Callable, Mapping, Sequence

from dragoman.core import log
from dragoman.core.errors import StoreFailed
from dragoman.stores.sql.database import Connection, SQLDatabase, SQLStore

_PUT = """
INSERT INTO kept VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, until = excluded.until
"""


class SQLKeyValueStore(SQLStore):
    """A `KeyValueStore` in a database.

    Args:
        database: The database. It is closed with the store.
        ttl: Seconds that a value is stored.
        entries: The maximum number of values. When it is exceeded, the oldest are deleted.
        clock: Seconds since 1970.
    """

    def __init__(
        self, database: SQLDatabase, *, ttl: float, entries: int, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(database)
        self._ttl = ttl
        self._entries = entries
        self._clock = clock
        self._empty_state: object = None  # the state of the database in which it held nothing

    def is_empty(self) -> bool:
        """See `KeyValueStore.is_empty`. It is not known of every database."""
        return self._empty_state is not None and self._empty_state == self._database.state()

    async def get(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """See `KeyValueStore.get`."""
        try:
            return await self._database.read(lambda db: self._get(db, names)) if names else {}
        except StoreFailed:
            return {}

    async def put(self, name: str, value: bytes) -> None:
        """See `KeyValueStore.put`."""
        try:
            await self._database.write(lambda db: self._put(db, name, value))
        except StoreFailed:
            return

    # The rest runs in the thread of the database.

    def _get(self, db: Connection, names: Sequence[str]) -> dict[str, bytes]:
        state = self._database.state()
        if state is not None and db.execute("SELECT 1 FROM kept LIMIT 1").fetchone() is None:
            self._empty_state = state
            return {}
        marks = ",".join("?" * len(names))
        query = f"SELECT name, value FROM kept WHERE until > ? AND name IN ({marks})"  # noqa: S608 - question marks
        rows = db.execute(query, (self._clock(), *names)).fetchall()
        decrypted = ((name, self._database.cipher().decrypt(value, name)) for name, value in rows)
        return {name: value for name, value in decrypted if value is not None}

    def _put(self, db: Connection, name: str, value: bytes) -> None:
        now = self._clock()
        row = (name, self._database.cipher().encrypt(value, name), now + self._ttl)
        db.execute(_PUT, row)
        db.execute("DELETE FROM kept WHERE until <= ?", (now,))
        excess = f"SELECT name FROM kept ORDER BY until DESC, name DESC {self._database.syntax.all_rows} OFFSET ?"  # noqa: S608 - constant
        db.execute(f"DELETE FROM kept WHERE name IN ({excess})", (self._entries,))  # noqa: S608 - constant


def failed(place: str, error: Exception) -> StoreFailed:
    """Log why the database cannot be used, and return what clients learn of it."""
    log.warning("keep.broke", path=place, error=str(error))
    return StoreFailed("Stored values cannot be read or written now. The gateway's log has the reason.")
