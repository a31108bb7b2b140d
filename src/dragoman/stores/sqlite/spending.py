"""What upstreams have cost by the records of older versions, which had no ledger."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from dragoman.stores.ledger import LedgerRow

_PER_NANODOLLAR = 1000
"""Older versions counted trillionths of a dollar."""


def read_spending(path: Path) -> list[LedgerRow]:
    """Return a row for each upstream and day. Its run is named after them, so it can be added to a ledger once.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT name, day, amount FROM spent").fetchall()
    return [
        LedgerRow(
            run=f"budgets.db:{name}:{day}",
            began=datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp(),
            upstream=name,
            status="imported",
            nanodollars=-(-amount // _PER_NANODOLLAR),
        )
        for name, day, amount in rows
    ]
