"""What the API refuses, in its own words, by model and API version.

Each rule is a function that raises `ApiProblem`; `table.py` lists them in the order in which they are checked. The
words are those of the live API as far as they are known from its documentation and from reports; they are not
guaranteed to be stable, and nothing should depend on more than their gist.
"""

from dragoman.simulator.rules.table import check, check_count

__all__ = ["check", "check_count"]
