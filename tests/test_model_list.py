"""The catalog by a live list of the provider's."""

import pytest

from dragoman.core.catalog import MODELS, Catalog, Model
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import ListedModel, entry_of, with_list

YES: JSONObject = {"supported": True}
NO: JSONObject = {"supported": False}


def live(entry: JSONObject, id_: str = "claude-opus-7") -> Model:
    """A model by what a list says of it."""
    return with_list(Catalog(), [ListedModel(id_, "", entry)]).resolve(id_).model


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_what_is_listed_as_it_is_known_changes_nothing(model: Model) -> None:
    """Our own entry says no less than the table."""
    assert live(entry_of(model, batch=False), model.id) == model


def test_the_list_knows_better() -> None:
    """Thinking, effort and limits of a model so new that it follows the rules of another."""
    effort: JSONObject = {"supported": True, "low": YES, "medium": NO, "high": YES}
    types: JSONObject = {"adaptive": NO, "disabled": YES, "enabled": YES}
    can: JSONObject = {"effort": effort, "thinking": {"supported": True, "types": types}}
    model = live({"max_input_tokens": 3_000_000, "max_tokens": 500_000, "capabilities": can})
    assert model.thinking == {"disabled", "enabled"}
    assert (model.efforts, model.default_effort) == (("low", "high"), "high")
    assert (model.context_tokens, model.output_tokens) == (3_000_000, 500_000)


def test_a_model_without_effort() -> None:
    """None is sent to it, and none is its default."""
    model = live({"capabilities": {"effort": NO}}, "claude-opus-5")
    assert (model.efforts, model.default_effort) == ((), None)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"capabilities": None, "max_tokens": None, "max_input_tokens": 0},
        {"capabilities": {"effort": [], "thinking": {"types": {"adaptive": None}}}},
        {"capabilities": {"effort": YES, "thinking": YES}, "max_tokens": "many"},
    ],
)
def test_what_the_list_does_not_say_stays(entry: JSONObject) -> None:
    """An older list, or one of another form."""
    assert live(entry, "claude-opus-5") == Catalog().resolve("claude-opus-5").model
