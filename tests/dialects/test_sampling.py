"""Limits and sampling, by the rules of each model."""

import pytest
from chat_support import NEWEST, OLD

from dragoman.core.catalog import Catalog
from dragoman.core.messages import MessagesRequest
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.request_body import Sampling, set_max_tokens, set_sampling, set_stop


@pytest.mark.parametrize(
    ("model", "given", "sent", "codes"),
    [
        (OLD, Sampling(), {}, []),
        (OLD, Sampling(temperature=0.5), {"temperature": 0.5}, []),
        (OLD, Sampling(temperature=1.7), {"temperature": 1}, [("clamped", "temperature")]),
        (OLD, Sampling(top_p=0.9, top_k=5), {"top_p": 0.9, "top_k": 5}, []),
        (OLD, Sampling(temperature=0, top_p=0.9), {"temperature": 0}, [("ignored", "top_p")]),
        (OLD, Sampling(temperature=0, top_p=1), {"temperature": 0}, []),
        (OLD, Sampling(temperature=1, top_p=0.9), {"top_p": 0.9}, []),
        (NEWEST, Sampling(temperature=1, top_p=1), {}, []),
        (NEWEST, Sampling(temperature=0), {}, [("ignored", "temperature")]),
        (NEWEST, Sampling(top_p=0.5, top_k=1), {}, [("ignored", "top_p"), ("ignored", "top_k")]),
    ],
)
def test_sampling(model: str, given: Sampling, sent: dict[str, float], codes: list[tuple[str, str]]) -> None:
    """What is sent, and the warnings about what is not."""
    body: MessagesRequest = {}
    warnings: list[RequestWarning] = []
    set_sampling(body, given, Catalog().resolve(model).model, warnings)
    assert body == sent
    assert [(warning.code, warning.param) for warning in warnings] == codes


@pytest.mark.parametrize(
    ("given", "varied"),
    [(Sampling(), False), (Sampling(1, 1), False), (Sampling(0.5), True), (Sampling(top_k=1), True)],
)
def test_is_default(given: Sampling, varied: bool) -> None:  # noqa: FBT001 - a column of the table
    """Defaults that are written out are still defaults."""
    assert given.is_default is not varied


@pytest.mark.parametrize(
    ("given", "sent", "warns"),
    [(5, 5, False), (64_000, 64_000, False), (64_001, 64_000, True)],
)
def test_max_tokens(given: int, sent: int, warns: bool) -> None:  # noqa: FBT001 - a column of the table
    """Clamped to the model's own limit."""
    body: MessagesRequest = {}
    warnings: list[RequestWarning] = []
    set_max_tokens(body, given, "max_tokens", Catalog().resolve(OLD).model, warnings)
    assert body.get("max_tokens") == sent
    assert [(warning.code, warning.param) for warning in warnings] == ([("clamped", "max_tokens")] if warns else [])


@pytest.mark.parametrize(
    ("given", "sent", "warns"),
    [
        ("END", ["END"], False),
        (["a", "b", "a"], ["a", "b"], False),
        (["a", " \n", "b"], ["a", "b"], False),
        ("\n\n\n", None, False),
        (["", "a", "b", "c", "d", "e"], ["a", "b", "c", "d", "e"], True),
    ],
)
def test_stop(given: str | list[str], sent: list[str] | None, warns: bool) -> None:  # noqa: FBT001 - a column
    """Blank ones are left to the gateway. Empty ones are left out with a warning."""
    body: MessagesRequest = {}
    warnings: list[RequestWarning] = []
    set_stop(body, given, warnings)
    assert body.get("stop_sequences") == sent
    assert [(warning.code, warning.param) for warning in warnings] == ([("ignored", "stop")] if warns else [])
