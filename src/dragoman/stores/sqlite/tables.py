"""The tables of an archive, and what keeps them within their limits."""

import sqlite3

ARCHIVE = (
    (
        """
        CREATE TABLE entries (
            place INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            owner TEXT NOT NULL,
            kind TEXT NOT NULL,
            model TEXT NOT NULL,
            created INTEGER NOT NULL,
            parent TEXT,
            labels TEXT NOT NULL,
            until REAL NOT NULL,
            holder TEXT,
            lease REAL,
            body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE INDEX entries_until ON entries (until)",
        "CREATE INDEX entries_parent ON entries (parent) WHERE parent IS NOT NULL",
        "CREATE INDEX entries_holder ON entries (holder) WHERE holder IS NOT NULL",
        "CREATE INDEX entries_list ON entries (owner, kind, place)",
        """
        CREATE TABLE events (
            id TEXT NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            data BLOB NOT NULL,
            PRIMARY KEY (id, number)
        ) STRICT, WITHOUT ROWID
        """,
        # Counted as they come and go: a sum over all entries with each new one would be slow.
        "CREATE TABLE totals (entries INTEGER NOT NULL, size INTEGER NOT NULL) STRICT",
        "INSERT INTO totals VALUES (0, 0)",
        """
        CREATE TRIGGER entries_added AFTER INSERT ON entries
        BEGIN UPDATE totals SET entries = entries + 1, size = size + length(new.body); END
        """,
        """
        CREATE TRIGGER entries_changed AFTER UPDATE OF body ON entries
        BEGIN UPDATE totals SET size = size + length(new.body) - length(old.body); END
        """,
        """
        CREATE TRIGGER entries_gone AFTER DELETE ON entries
        BEGIN UPDATE totals SET entries = entries - 1, size = size - length(old.body); END
        """,
        """
        CREATE TRIGGER events_added AFTER INSERT ON events
        BEGIN UPDATE totals SET size = size + length(new.data); END
        """,
        """
        CREATE TRIGGER events_gone AFTER DELETE ON events
        BEGIN UPDATE totals SET size = size - length(old.data); END
        """,
    ),
)
"""The versions of the file."""

_LEAF = "NOT EXISTS (SELECT 1 FROM entries AS later WHERE later.parent = entries.id)"
_IDLE = "(lease IS NULL OR lease <= :now)"


def expire(db: sqlite3.Connection, now: float) -> None:
    """Delete what is too old or was deleted, as far as nothing goes on from it."""
    asked = f"DELETE FROM entries WHERE until <= :now AND {_IDLE} AND {_LEAF}"  # noqa: S608 - constants
    while db.execute(asked, {"now": now}).rowcount:
        pass  # what it went on from may be free now


def shrink(db: sqlite3.Connection, now: float, entries: int, size: int, newest: str) -> None:
    """Delete until there is not too much, the longest untouched conversation first, from its end."""
    oldest = f"SELECT id FROM entries WHERE id != :newest AND {_IDLE} AND {_LEAF} ORDER BY place LIMIT 1"  # noqa: S608 - constants
    while True:
        count, held = db.execute("SELECT entries, size FROM totals").fetchone()
        if count <= entries and held <= size:
            return
        asked = f"DELETE FROM entries WHERE id = ({oldest})"  # noqa: S608 - constants
        if not db.execute(asked, {"now": now, "newest": newest}).rowcount:
            return
