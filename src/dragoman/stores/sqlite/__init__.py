"""Stores in SQLite files, for one machine."""
