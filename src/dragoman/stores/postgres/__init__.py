"""Stores in PostgreSQL, for many nodes. They need the extra `postgres`; nothing else imports this package."""
