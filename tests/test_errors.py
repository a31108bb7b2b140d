"""Errors by cause."""

import re

import pytest

from dragoman.core import errors
from dragoman.core.errors import GatewayError

CAUSES = [cause for cause in vars(errors).values() if isinstance(cause, type) and issubclass(cause, GatewayError)]


@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_has_a_code_that_can_be_overridden(cause: type[GatewayError]) -> None:
    """The code is machine-readable and stable."""
    error = cause("Text.", param="n", retry_after=2.5)
    assert (error.message, str(error), error.param, error.retry_after) == ("Text.", "Text.", "n", 2.5)
    assert error.code == cause.default_code
    assert (error.code is None) == (cause is GatewayError)
    assert cause("Text.", code="own").code == "own"


def test_the_tree_in_the_docstring_is_the_class_tree() -> None:
    """Each cause is listed under its parent."""
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


@pytest.mark.parametrize("cause", CAUSES)
def test_an_error_is_immutable_and_a_copy_has_the_request_id(cause: type[GatewayError]) -> None:
    """Several clients may receive the same error: the request id of one must not show in the answer to another."""
    error = cause("Text.", code="own", param="n", retry_after=2.5)
    first, second = error.with_request_id("req_1"), error.with_request_id("req_2")
    assert (error.request_id, first.request_id, second.request_id) == (None, "req_1", "req_2")
    assert type(first) is cause
    assert (first.message, first.code, first.param, first.retry_after) == ("Text.", "own", "n", 2.5)
    assert first.replace(retry_after=None).retry_after is None
    for name in ("request_id", "retry_after", "message", "code", "param"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(error, name, "x")


def test_a_copy_keeps_traceback_and_cause() -> None:
    """The log shows them."""
    with pytest.raises(errors.UpstreamFailed) as caught:
        raise errors.UpstreamFailed("Text.") from KeyError("cause")
    copy = caught.value.with_request_id("req_1")
    assert copy.__traceback__ is caught.value.__traceback__
    assert isinstance(copy.__cause__, KeyError)
    assert copy.__suppress_context__
