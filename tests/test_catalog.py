"""The models, and how names resolve to them."""

from datetime import date

import pytest

from dragoman.core.catalog import ALIASES, MODELS, RETIRED, Catalog, Model
from dragoman.core.errors import NotFound

CATALOG = Catalog()


@pytest.mark.parametrize(
    ("requested", "found"),
    [
        (None, "claude-sonnet-5-5"),
        ("", "claude-sonnet-5-5"),
        ("sonnet", "claude-sonnet-5-5"),
        ("claude-opus", "claude-opus-5-5"),
        ("haiku", "claude-haiku-5-5"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929"),
        ("claude-opus-5-latest", "claude-opus-5"),
    ],
)
def test_names_resolve_to_models(requested: str | None, found: str) -> None:
    """Full ids, dated ids, aliases, and the default if there is no name."""
    resolved = CATALOG.resolve(requested)
    assert resolved.model.id == found
    assert resolved.requested_name == (requested or "sonnet")
    assert resolved.successor_of is None


@pytest.mark.parametrize(
    ("requested", "found"),
    [
        ("anthropic/claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("openrouter/anthropic/claude-opus-5.5", "claude-opus-5-5"),
        ("anthropic:claude-opus-5", "claude-opus-5"),
        ("Claude-Opus-5", "claude-opus-5"),
        ("SONNET", "claude-sonnet-5-5"),
        (" sonnet ", "claude-sonnet-5-5"),
        ("claude-opus-5[1m]", "claude-opus-5"),
        ("sonnet[1m]", "claude-sonnet-5-5"),
        ("claude-haiku-4-5:latest", "claude-haiku-4-5"),
        ("claude-4.5-sonnet", "claude-sonnet-4-5"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5-20251001"),
        ("anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5-20251101"),
        ("claude-opus-4-5@20251101", "claude-opus-4-5-20251101"),
    ],
)
def test_names_in_other_spellings(requested: str, found: str) -> None:
    """Of other gateways, of clouds, of editors. The model has one id, whatever the spelling."""
    assert CATALOG.resolve(requested).model.id == found
    assert Catalog(aliases={"fast": requested}).resolve("anthropic/fast").model.id == found


@pytest.mark.parametrize(
    "requested", ["gpt-4o", "anthropic/gpt-4o", "anthropic/", "[1m]", "claude-9.9-sonnet", "/", "@"]
)
def test_other_spellings_make_no_model_of_other_names(requested: str) -> None:
    """They are unknown as before."""
    with pytest.raises(NotFound):
        CATALOG.resolve(requested)


def test_a_dated_id_follows_the_rules_of_its_model() -> None:
    """Only the id differs."""
    dated, plain = (CATALOG.resolve(id_).model for id_ in ("claude-opus-4-5-20251101", "claude-opus-4-5"))
    assert (dated.family, dated.efforts, dated.prefill) == (plain.family, plain.efforts, plain.prefill)


def test_the_operators_aliases_come_first() -> None:
    """They may name a built-in alias."""
    own = Catalog(aliases={"gpt-4o": "sonnet", "sonnet": "claude-sonnet-4-5", "fast": "claude-haiku-4-5-20251001"})
    assert own.resolve("gpt-4o").model.id == "claude-sonnet-5-5"
    assert own.resolve("sonnet").model.id == "claude-sonnet-4-5"
    assert own.resolve("fast").model.id == "claude-haiku-4-5-20251001"
    assert own.resolve("fast").requested_name == "fast"


@pytest.mark.parametrize(
    ("requested", "text"),
    [("claude-sonet-5-5", "`claude-sonnet-5-5`"), ("gpt-4o", "`GET /v1/models`"), ("claude-opus-9", "`claude-opus-")],
)
def test_an_unknown_name_is_refused_with_similar_names(requested: str, text: str) -> None:
    """The code is `model_not_found`."""
    with pytest.raises(NotFound) as caught:
        CATALOG.resolve(requested)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert requested in caught.value.message
    assert text in caught.value.message


def test_a_name_that_is_similar_to_none_gets_no_suggestion() -> None:
    """A wrong suggestion is worse."""
    with pytest.raises(NotFound) as caught:
        CATALOG.resolve("zzz")
    assert "Did you mean" not in caught.value.message


@pytest.mark.parametrize(
    "id_",
    [
        "claude-3-5-sonnet-20241022",
        "claude-3-opus-latest",
        "claude-opus-4-1",
        "claude-1.3",
        "claude-2.1",
        "claude-instant-1.2",
    ],
)
def test_a_retired_id_names_its_successor(id_: str) -> None:
    """If the operator allows it, the id resolves to the successor."""
    with pytest.raises(NotFound) as caught:
        CATALOG.resolve(id_)
    resolved = Catalog(map_retired=True).resolve(id_)
    assert resolved.successor_of == id_
    assert resolved.model.id in caught.value.message
    assert "--map-retired-models" in caught.value.message


@pytest.mark.parametrize("id_", ["anthropic/claude-3.5-sonnet", "claude-4-sonnet", "Claude-2.1"])
def test_a_retired_id_in_another_spelling_is_retired_too(id_: str) -> None:
    """It names its successor."""
    assert Catalog(map_retired=True).resolve(id_).model.id == "claude-sonnet-5-5"
    with pytest.raises(NotFound, match="retired"):
        CATALOG.resolve(id_)


def test_a_successor_that_is_not_offered_is_not_used() -> None:
    """The operator decides which models are offered."""
    small = Catalog(map_retired=True).restricted_to(["claude-haiku-4-5"])
    with pytest.raises(NotFound):
        small.resolve("claude-3-opus")


def test_a_restricted_catalog() -> None:
    """Models may be given by any of their names. The others do not exist."""
    small = CATALOG.restricted_to(["haiku", "claude-opus-4-5-20251101"])
    assert [model.id for model in small.models] == ["claude-haiku-5-5", "claude-opus-4-5-20251101"]
    with pytest.raises(NotFound):
        small.resolve("sonnet")
    with pytest.raises(NotFound):
        CATALOG.restricted_to(["nonsense"])


def test_the_live_list_adds_names_and_models() -> None:
    """A dated id has its model's rules, a new id those of the newest of its tier. Other providers' ids are ignored."""
    live = CATALOG.with_live(
        [
            ("claude-opus-5-5", "Claude Opus 5.5 (new name)"),
            ("claude-sonnet-4-5-20250929", ""),
            ("claude-sonnet-6", "Claude Sonnet 6"),
            ("gemini-9", "Another"),
        ]
    )
    ids = [model.id for model in live.models]
    assert ids == [*(model.id for model in MODELS), "claude-sonnet-4-5-20250929", "claude-sonnet-6"]
    assert live.resolve("opus").model.name == "Claude Opus 5.5 (new name)"
    assert live.resolve("claude-sonnet-4-5-20250929").model.name == "Claude Sonnet 4.5"
    new, newest = live.resolve("claude-sonnet-6").model, CATALOG.resolve("sonnet").model
    assert (new.name, new.thinking, new.bound_thinking) == ("Claude Sonnet 6", newest.thinking, True)


def test_the_models_of_aliases_and_retired_ids_exist() -> None:
    """No retired id is offered."""
    ids = {model.id for model in MODELS}
    assert set(ALIASES.values()) | set(RETIRED.values()) <= ids
    assert not ids & RETIRED.keys()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_the_facts_of_a_model_are_consistent(model: Model) -> None:
    """These rules of the provider hold for every model."""
    assert model.id.startswith("claude-")
    assert date(2025, 1, 1) < model.released < date(2027, 1, 1)
    assert (model.default_effort in model.efforts) == bool(model.efforts)
    assert model.thinking_required_efforts <= set(model.efforts)
    assert model.always_thinks == ("disabled" not in model.thinking)
    assert model.bound_thinking == (model.family == "5.5")
    assert model.output_tokens < model.context_tokens


@pytest.mark.parametrize(
    ("id_", "always_thinks", "sampling", "forced", "prefill", "system"),
    [
        ("claude-sonnet-4-5", False, True, True, True, False),
        ("claude-haiku-4-5", False, True, True, True, False),
        ("claude-opus-4-6", False, True, True, False, False),
        ("claude-opus-4-7", False, False, True, False, False),
        ("claude-opus-4-8", False, False, True, False, True),
        ("claude-opus-5", False, False, True, False, True),
        ("claude-sonnet-5", False, False, True, False, False),
        ("claude-opus-5-5", True, False, False, False, True),
        ("claude-sonnet-5-5", True, False, False, False, True),
        ("claude-haiku-5-5", False, False, True, False, True),
    ],
)
def test_the_table_of_differences(
    id_: str,
    always_thinks: bool,  # noqa: FBT001 - a parameter of the test
    sampling: bool,  # noqa: FBT001 - a parameter of the test
    forced: bool,  # noqa: FBT001 - a parameter of the test
    prefill: bool,  # noqa: FBT001 - a parameter of the test
    system: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """What each model rejects, from the provider's migration guides."""
    model = CATALOG.resolve(id_).model
    assert (model.always_thinks, model.sampling, model.forced_tools) == (always_thinks, sampling, forced)
    assert (model.prefill, model.system_messages) == (prefill, system)


def test_a_model_of_a_new_tier_follows_the_newest_rules() -> None:
    """The provider's list may contain unknown tiers."""
    catalog = Catalog().with_live([("claude-fable-5-2", "Claude Fable 5.2"), ("gpt-9", "No model of ours")])
    model = catalog.resolve("claude-fable-5-2").model
    assert (model.id, model.name, model.family) == ("claude-fable-5-2", "Claude Fable 5.2", MODELS[0].family)
    assert "gpt-9" not in {model.id for model in catalog.models}
