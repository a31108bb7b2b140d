"""Runs: from admission, through the backend, to the record of what became of them."""

from dragoman.runs.engine import Engine, Limits
from dragoman.runs.run import Run, Status

__all__ = ["Engine", "Limits", "Run", "Status"]
