"""Several accounts behind one gateway: which of them is asked, and what is done when it cannot answer."""

from dragoman.runs.routing.budget import Budget
from dragoman.runs.routing.metered import Metered
from dragoman.runs.routing.router import Router
from dragoman.runs.routing.upstream import Upstream, serves

__all__ = ["Budget", "Metered", "Router", "Upstream", "serves"]
