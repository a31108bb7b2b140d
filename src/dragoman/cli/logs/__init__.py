"""Where the log goes and how it looks: JSON lines, or for people where a person reads it."""

from dragoman.cli.logs.setup import configure, holds_payloads

__all__ = ["configure", "holds_payloads"]
