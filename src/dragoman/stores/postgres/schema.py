"""The tables in PostgreSQL.

`MIGRATIONS` is a numbered list: entries are only added, never changed, and run once. During an upgrade nodes of the
previous version use the same tables, so an entry only adds what that version does not use: tables, columns with a
default, indexes. If it cannot, `OLDEST_PROGRAM` becomes its number: older programs refuse to work with the tables then.

The columns are those of the SQLite files; see `dragoman.stores.sql`.
"""

from collections.abc import Sequence

OLDEST_PROGRAM = 1
"""The number of migrations that a program must know to work with these tables."""

_ACCESS = """
CREATE TABLE keys (name TEXT PRIMARY KEY, record BYTEA NOT NULL);
CREATE TABLE teams (name TEXT PRIMARY KEY, record BYTEA NOT NULL);
CREATE TABLE audit (number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entry BYTEA NOT NULL);
"""
_KEY_VALUES = """
CREATE TABLE kept (name TEXT PRIMARY KEY, value BYTEA NOT NULL, until DOUBLE PRECISION NOT NULL);
CREATE INDEX kept_until ON kept (until);
"""
_LEDGER = """
CREATE TABLE ledger (
    run TEXT PRIMARY KEY,
    began DOUBLE PRECISION NOT NULL,
    key TEXT NOT NULL,
    team TEXT NOT NULL,
    model TEXT NOT NULL,
    upstream TEXT NOT NULL,
    status TEXT NOT NULL,
    input BIGINT NOT NULL,
    cache_read BIGINT NOT NULL,
    cache_write BIGINT NOT NULL,
    output BIGINT NOT NULL,
    nanodollars BIGINT NOT NULL
);
CREATE INDEX ledger_began ON ledger (began);
CREATE TABLE counters (
    rule TEXT NOT NULL,
    start BIGINT NOT NULL,
    until BIGINT NOT NULL,
    used BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (rule, start)
);
CREATE TABLE loans (
    rule TEXT NOT NULL,
    start BIGINT NOT NULL,
    worker TEXT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (rule, start, worker)
);
CREATE TABLE workers (worker TEXT PRIMARY KEY, lease BIGINT NOT NULL);
"""
_RECORDINGS = """
CREATE TABLE recordings (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    request BYTEA NOT NULL,
    producer TEXT NOT NULL,
    created DOUBLE PRECISION NOT NULL,
    size BIGINT NOT NULL DEFAULT 0,
    response BYTEA
);
CREATE INDEX recordings_created ON recordings (created);
CREATE INDEX recordings_size ON recordings (owner, size);
"""
_RESPONSES = """
CREATE TABLE entries (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    created BIGINT NOT NULL,
    parent TEXT,
    labels TEXT NOT NULL,
    until DOUBLE PRECISION NOT NULL,
    holder TEXT,
    lease DOUBLE PRECISION,
    body BYTEA NOT NULL
);
CREATE INDEX entries_until ON entries (until);
CREATE INDEX entries_parent ON entries (parent) WHERE parent IS NOT NULL;
CREATE INDEX entries_holder ON entries (holder) WHERE holder IS NOT NULL;
CREATE INDEX entries_list ON entries (owner, kind, place);
CREATE TABLE events (
    id TEXT NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (id, number)
);
CREATE TABLE totals (entries BIGINT NOT NULL, size BIGINT NOT NULL);
INSERT INTO totals VALUES (0, 0);
CREATE FUNCTION count_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE totals SET entries = entries + 1, size = size + length(NEW.body);
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE totals SET size = size + length(NEW.body) - length(OLD.body);
    ELSE
        UPDATE totals SET entries = entries - 1, size = size - length(OLD.body);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entries_counted AFTER INSERT OR DELETE OR UPDATE OF body ON entries
    FOR EACH ROW EXECUTE FUNCTION count_entry();
CREATE FUNCTION count_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE totals SET size = size + length(NEW.data);
    ELSE
        UPDATE totals SET size = size - length(OLD.data);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER events_counted AFTER INSERT OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION count_event();
"""
_RUNS = """
CREATE TABLE runs (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    model TEXT NOT NULL,
    client TEXT NOT NULL,
    created DOUBLE PRECISION NOT NULL,
    error TEXT,
    owner TEXT NOT NULL,
    rest BYTEA NOT NULL,
    said BYTEA
);
CREATE INDEX runs_open ON runs (owner) WHERE status IN ('queued', 'running');
CREATE INDEX runs_created ON runs (created);
"""
_PROCESSES = "CREATE TABLE processes (name TEXT PRIMARY KEY, seen DOUBLE PRECISION NOT NULL);"
_APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'append-only' USING ERRCODE = 'integrity_constraint_violation'; END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger EXECUTE FUNCTION refuse_change();
"""
_NODES = """
ALTER TABLE processes
    ADD COLUMN gateway TEXT NOT NULL DEFAULT '',
    ADD COLUMN address TEXT NOT NULL DEFAULT '',
    ADD COLUMN version TEXT NOT NULL DEFAULT '',
    ADD COLUMN draining BOOLEAN NOT NULL DEFAULT FALSE;
"""
_FACTS = "CREATE TABLE facts (name TEXT PRIMARY KEY, value BYTEA NOT NULL);"
_QUEUED = """
CREATE TABLE queued (id TEXT PRIMARY KEY REFERENCES entries (id) ON DELETE CASCADE, request BYTEA NOT NULL);
"""

MIGRATIONS: Sequence[str] = (
    _ACCESS + _KEY_VALUES + _LEDGER + _RECORDINGS + _RESPONSES + _RUNS + _PROCESSES + _APPEND_ONLY,
    _NODES,
    _FACTS,
    _QUEUED,
)
"""The statements that lead from each version of the tables to the next."""
