"""The rules in the order in which the API checks them."""

from dragoman.simulator.call import Call


def check(call: Call) -> None:
    """Refuse what the API refuses."""


def check_count(call: Call) -> None:
    """The same for counting."""
