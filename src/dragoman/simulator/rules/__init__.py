"""What the API refuses."""

from dragoman.simulator.rules.table import check, check_count

__all__ = ["check", "check_count"]
