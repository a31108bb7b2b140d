"""What a store in SQL needs of its database, and where the SQL of the engines differs.

The statements of the stores are the same for all engines: values are question marks, and results are the same types.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from dragoman.core.errors import StoreFailed
from dragoman.core.value_object import value_object
from dragoman.stores.crypto import Cipher

_T = TypeVar("_T")


class Cursor(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """The number of rows that were changed."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, or None. The types of its values are those of the statement's columns."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows."""
        ...

    def close(self) -> None:
        """Release the result."""
        ...


class Connection(Protocol):
    """A connection in a transaction."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Cursor:
        """Execute one statement with a value for each question mark."""
        ...

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> Cursor:
        """Execute one statement for each row of values."""
        ...


Work: TypeAlias = "Callable[[Connection], _T]"
"""Runs in a thread of the database, inside a transaction. It leaves no cursor open when it returns."""

Failed: TypeAlias = Callable[[str, Exception], StoreFailed]
"""Makes the `StoreFailed` of a call that failed, and logs the reason. It is given the place of the database."""


@value_object(kw_only=True)
class Syntax:
    """Expressions that the engines write differently.

    Attributes:
        day: The date of `began`, in UTC.
        has_label: Whether the JSON object `labels` has a key (first value) with a text (second value).
        position: The position of a text (the value) in `model`, 0 if it is not there.
        all_rows: The limit of a query that has an offset and no limit.
        older: The place of the newest run that is not among the newest (the value).
    """

    day: str
    has_label: str
    position: str
    all_rows: str
    older: str


class SQLDatabase(Protocol):
    """A database of one store. Processes may share it.

    Every call raises `StoreFailed` if the database cannot be used. A call that is cancelled before its turn is not run;
    a call that has started is finished.

    Attributes:
        syntax: The expressions of the engine.
    """

    syntax: Syntax

    @property
    def process(self) -> str:
        """The name of this process among those that share the database."""
        ...

    async def read(self, work: "Work[_T]") -> _T:
        """Run a query in a transaction that takes no lock. It sees one state of the database."""
        ...

    async def write(self, work: "Work[_T]") -> _T:
        """Change the database in one transaction: all of it is stored, or nothing is. No other write runs meanwhile."""
        ...

    def exists(self) -> bool:
        """Return whether there may be anything in the database. Nothing is created."""
        ...

    def state(self) -> object:
        """Return what changes with every write by any process; None if that is not known."""
        ...

    def ended(self, connection: Connection, processes: Sequence[str]) -> list[str]:
        """Return those of some processes that have ended."""
        ...

    def cipher(self) -> Cipher:
        """Return what encrypts values of the store. It may read or create a file."""
        ...

    def failures(self) -> Mapping[str, str]:
        """Return why the database could not be used last, until it can; see `supervise.ReportsFailures`."""
        ...

    async def aclose(self) -> None:
        """Finish the calls that were made, and release the database. Idempotent. No call may follow."""
        ...


class SQLStore:
    """A store in a database. It owns the database.

    Args:
        database: Where it is stored.
    """

    def __init__(self, database: SQLDatabase) -> None:
        self._database = database

    @property
    def database(self) -> SQLDatabase:
        """Return the database, for what moves whole tables."""
        return self._database

    def failures(self) -> Mapping[str, str]:
        """See `SQLDatabase.failures`."""
        return self._database.failures()

    async def aclose(self) -> None:
        """See `SQLDatabase.aclose`."""
        await self._database.aclose()
