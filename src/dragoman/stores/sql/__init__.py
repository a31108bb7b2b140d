"""Stores in SQL. Each is one class for every engine: `dragoman.stores.sqlite` and `dragoman.stores.postgres`."""
