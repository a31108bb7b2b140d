"""The composition root: the only place that picks concrete classes."""

from dragoman.bootstrap.backends import diagnose, runtime_options
from dragoman.bootstrap.exposure import check_exposure
from dragoman.bootstrap.gateway import Gateway, build
from dragoman.bootstrap.journal import journal_for
from dragoman.bootstrap.state_dir import make_state_dir

__all__ = [
    "Gateway",
    "build",
    "check_exposure",
    "diagnose",
    "journal_for",
    "make_state_dir",
    "runtime_options",
]
