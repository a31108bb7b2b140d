"""The list of models of the Messages API."""

import pytest

from dragoman.core.catalog import MODELS
from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSONObject
from dragoman.dialects.messages.models import model_info, model_page

IDS = [model.id for model in MODELS]


def ids(page: JSONObject) -> list[str]:
    """Return the ids on a page."""
    data = page["data"]
    assert isinstance(data, list)
    return [str(entry["id"]) for entry in data if isinstance(entry, dict)]


def test_one_page_without_a_limit() -> None:
    """It holds all models."""
    page = model_page(MODELS, None, None, None)
    assert ids(page) == IDS
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, IDS[0], IDS[-1])


def test_paging_forwards() -> None:
    """Each page begins after the last id of the one before."""
    first = model_page(MODELS, "5", None, None)
    second = model_page(MODELS, "5", str(first["last_id"]), None)
    assert ids(first) + ids(second) == IDS[:10]
    assert first["has_more"] is True


def test_paging_backwards() -> None:
    """The page ends before an id, and `has_more` is about models before it."""
    page = model_page(MODELS, "2", None, IDS[5])
    assert ids(page) == IDS[3:5]
    assert page["has_more"] is True
    assert model_page(MODELS, "5", None, IDS[5])["has_more"] is False


def test_a_page_after_the_last_model_is_empty() -> None:
    """It has no ids."""
    page = model_page(MODELS, None, IDS[-1], None)
    assert page == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "many", "²"])
def test_an_invalid_limit_is_refused(limit: str) -> None:
    """It is not a number, or is out of range."""
    with pytest.raises(InvalidRequest):
        model_page(MODELS, limit, None, None)


def test_model_info() -> None:
    """It holds what the catalog knows."""
    info = model_info(MODELS[0])
    assert info["display_name"] == "Claude Opus 5.5"
    assert info["created_at"] == "2026-09-08T00:00:00Z"
    assert info["max_input_tokens"] == 1_000_000
