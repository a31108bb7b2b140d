"""The tree of causes."""

import re

import pytest

from dragoman.core import errors
from dragoman.core.errors import GatewayError

CAUSES = [cause for cause in vars(errors).values() if isinstance(cause, type) and issubclass(cause, GatewayError)]


@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_has_a_code_that_can_be_overridden(cause: type[GatewayError]) -> None:
    """Machine-readable, and stable."""
    error = cause("Said.", param="n", retry_after=2.5)
    assert (error.message, str(error), error.param, error.retry_after) == ("Said.", "Said.", "n", 2.5)
    assert error.code == cause.default_code
    assert (error.code is None) == (cause is GatewayError)
    assert cause("Said.", code="own").code == "own"


def test_the_drawing_is_the_tree() -> None:
    """Each cause is drawn under its parent."""
    drawn: list[tuple[str, str]] = []
    above: list[str] = []
    for indent, name in re.findall(
        r"^([│├└─ ]*)([A-Z]\w+)(?: .*)?$", (errors.__doc__ or "").partition("\n")[2], re.MULTILINE
    ):
        depth = len(indent) // 4
        above[depth:] = [name]
        if depth:
            drawn.append((name, above[depth - 1]))
    assert sorted(drawn) == sorted(
        (c.__name__, c.__base__.__name__) for c in CAUSES if c is not GatewayError and c.__base__
    )
