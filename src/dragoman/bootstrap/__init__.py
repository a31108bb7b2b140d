"""The composition root: the only place that picks concrete classes."""

from dragoman.bootstrap.backends import diagnose, runtime_options
from dragoman.bootstrap.exposure import check_exposure
from dragoman.bootstrap.gateway import Gateway, build

__all__ = ["Gateway", "build", "check_exposure", "diagnose", "runtime_options"]
