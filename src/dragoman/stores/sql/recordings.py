"""A `RecordingStore` in SQL. Responses are encrypted, and keys are stored as hashes."""

import hashlib
import time
from collections.abc import Callable

from dragoman.core import log
from dragoman.core.errors import StoreFailed
from dragoman.stores.recordings import Claim, RecordingName
from dragoman.stores.sql.database import Connection, SQLDatabase, SQLStore

_OLDEST_OF_LARGEST = """
SELECT name FROM recordings WHERE size > 0 AND owner =
    (SELECT owner FROM recordings GROUP BY owner ORDER BY sum(size) DESC LIMIT 1)
ORDER BY created LIMIT 1
"""


class SQLRecordingStore(SQLStore):
    """A `RecordingStore` in a database.

    Args:
        database: The database. It is closed with the store.
        ttl: Seconds that a response is stored, from its request on.
        size: The maximum number of bytes of all responses.
        clock: Seconds since 1970.
        alive: Returns whether a producer is still running. By default the database knows its processes.
    """

    def __init__(
        self,
        database: SQLDatabase,
        *,
        ttl: float,
        size: int,
        clock: Callable[[], float] = time.time,
        alive: Callable[[str], bool] | None = None,
    ) -> None:
        super().__init__(database)
        self._ttl = ttl
        self._size = size
        self._clock = clock
        self._alive = alive

    async def claim(self, name: RecordingName, request: bytes, producer: str) -> Claim | None:
        """See `RecordingStore.claim`."""
        return await self._database.write(lambda db: self._claim(db, name, request, producer))

    async def finish(self, name: RecordingName, producer: str, response: bytes) -> bool:
        """See `RecordingStore.finish`."""
        return await self._database.write(lambda db: self._finish(db, name, producer, response))

    async def release(self, name: RecordingName, producer: str) -> None:
        """See `RecordingStore.release`."""
        await self._database.write(lambda db: _release(db, name, producer))

    # The rest runs in the thread of the database.

    def _claim(self, db: Connection, name: RecordingName, request: bytes, producer: str) -> Claim | None:
        now = self._clock()
        db.execute("DELETE FROM recordings WHERE created <= ?", (now - self._ttl,)).close()
        row_name = _hash(name)
        query = "SELECT request, producer, response FROM recordings WHERE name = ?"
        row = db.execute(query, (row_name,)).fetchone()
        if row is None:
            columns = "(name, owner, request, producer, created)"
            values = (row_name, name.owner, request, producer, now)
            db.execute(f"INSERT INTO recordings {columns} VALUES (?, ?, ?, ?, ?)", values).close()  # noqa: S608 - constant
            return None
        held_request, current, encrypted = row
        response = None if encrypted is None else self._database.cipher().decrypt(encrypted, row_name)
        lost = encrypted is not None and response is None
        return Claim(held_request, current, response, lost or (encrypted is None and not self._is_alive(db, current)))

    def _is_alive(self, db: Connection, producer: str) -> bool:
        return self._alive(producer) if self._alive else not self._database.ended(db, [producer])

    def _finish(self, db: Connection, name: RecordingName, producer: str, response: bytes) -> bool:
        row_name = _hash(name)
        encrypted = self._database.cipher().encrypt(response, row_name)
        if len(encrypted) > self._size:
            _release(db, name, producer)
            return False
        statement = "UPDATE recordings SET response = ?, size = ? WHERE name = ? AND producer = ? AND response IS NULL"
        cursor = db.execute(statement, (encrypted, len(encrypted), row_name, producer))
        stored = cursor.rowcount == 1
        cursor.close()
        while db.execute("SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM recordings").fetchone()[0] > self._size:
            db.execute(f"DELETE FROM recordings WHERE name IN ({_OLDEST_OF_LARGEST})").close()  # noqa: S608 - constant
        return stored


def _release(db: Connection, name: RecordingName, producer: str) -> None:
    statement = "DELETE FROM recordings WHERE name = ? AND producer = ? AND response IS NULL"
    db.execute(statement, (_hash(name), producer)).close()


def _hash(name: RecordingName) -> str:
    return hashlib.sha256(f"{name.owner}\0{name.key}".encode()).hexdigest()


def failed(place: str, error: Exception) -> StoreFailed:
    """Log why the database cannot be used, and return what clients learn of it."""
    log.warning("recordings.broke", path=place, error=str(error))
    return StoreFailed("Requests with an `Idempotency-Key` cannot be recorded now. The gateway's log has the reason.")
