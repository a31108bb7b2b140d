"""Answers that are kept: made whether or not somebody waits, asked for later, gone on from, listed and deleted."""

from dragoman.server.keeping.jobs import Jobs
from dragoman.server.keeping.shelf import Shelf

__all__ = ["Jobs", "Shelf"]
