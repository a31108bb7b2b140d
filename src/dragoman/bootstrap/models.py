"""The models of the gateway, by the settings."""

from dataclasses import replace

from dragoman.bootstrap.upstreams import served_models
from dragoman.catalog import ASKED_FOR, Catalog
from dragoman.errors import NotFound
from dragoman.settings import BadSettings, Settings, named


def catalog_of(settings: Settings) -> Catalog:
    """The models and their names.

    Raises:
        BadSettings: One that the settings name does not exist.
    """
    whole = Catalog(
        aliases=settings.model_aliases, default=settings.default_model, map_retired=settings.map_retired_models
    )
    _check(whole, "default_model", settings.default_model)
    for name in settings.models:
        _check(whole, "models", name)
    if settings.models:
        return whole.only(settings.models)
    return replace(whole, models=served_models(settings, whole))


def _check(catalog: Catalog, setting: str, name: str) -> None:
    try:
        catalog.resolve(name)
    except NotFound as error:
        if setting == "default_model" and _may_be_newer(catalog, name):
            return
        raise BadSettings(f"{named(setting)}: {error.message.replace(ASKED_FOR, '`dragoman models`')}") from None


def _may_be_newer(catalog: Catalog, name: str) -> bool:
    """Whether this may be a model that only Claude's own list knows; a retired one is none."""
    try:
        replace(catalog, map_retired=True).resolve(name)
    except NotFound:
        return name.startswith("claude-")
    return False
