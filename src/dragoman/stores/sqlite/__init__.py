"""Stores of one machine, in files: SQLite."""

from dragoman.stores.sqlite.archive import SQLiteArchive
from dragoman.stores.sqlite.database import Database
from dragoman.stores.sqlite.keep import SQLiteKeep
from dragoman.stores.sqlite.ledger import SQLiteLedger
from dragoman.stores.sqlite.runs import SQLiteRuns

__all__ = ["Database", "SQLiteArchive", "SQLiteKeep", "SQLiteLedger", "SQLiteRuns"]
