"""The catalog corrected by the provider's list."""

import pytest

from dragoman.core.catalog import MODELS, Catalog, Model
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import ListedModel, entry_of, with_list

YES: JSONObject = {"supported": True}
NO: JSONObject = {"supported": False}


def live(entry: JSONObject, id_: str = "claude-opus-7") -> Model:
    """Return a model as a list with this entry corrects it."""
    return with_list(Catalog(), [ListedModel(id_, "", entry)]).resolve(id_).model


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_our_own_entry_changes_nothing(model: Model) -> None:
    """The entry contains all that the catalog contains."""
    assert live(entry_of(model, batch=False), model.id) == model


def test_the_list_corrects_a_model() -> None:
    """Thinking, effort and limits of a new model that otherwise follows the rules of another."""
    effort: JSONObject = {"supported": True, "low": YES, "medium": NO, "high": YES}
    types: JSONObject = {"adaptive": NO, "disabled": YES, "enabled": YES}
    capabilities: JSONObject = {"effort": effort, "thinking": {"supported": True, "types": types}}
    model = live({"max_input_tokens": 3_000_000, "max_tokens": 500_000, "capabilities": capabilities})
    assert model.thinking == {"disabled", "enabled"}
    assert (model.efforts, model.default_effort) == (("low", "high"), "high")
    assert (model.context_tokens, model.output_tokens) == (3_000_000, 500_000)


def test_a_model_without_effort() -> None:
    """It has no efforts and no default effort."""
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
def test_missing_and_invalid_fields_correct_nothing(entry: JSONObject) -> None:
    """The list may be older, or of another form."""
    assert live(entry, "claude-opus-5") == Catalog().resolve("claude-opus-5").model


def test_models_that_the_providers_list_lacks_are_not_listed() -> None:
    """They may still be asked for. A dated id in the list offers the id without its date, too."""
    entries = [ListedModel(id_, "", {"id": id_}) for id_ in ("claude-opus-5", "claude-sonnet-4-5-20250929")]
    catalog = with_list(Catalog(), entries)
    assert [model.id for model in catalog.listed] == [
        "claude-opus-5",
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
    ]
    assert catalog.resolve("claude-opus-5-5").model.id == "claude-opus-5-5"


@pytest.mark.parametrize("entries", [[], [ListedModel("claude-opus-5", "")]])
def test_a_list_without_entries_hides_no_model(entries: list[ListedModel]) -> None:
    """It is only the runtime's own choice of models."""
    assert [model.id for model in with_list(Catalog(), entries).listed] == [model.id for model in MODELS]
