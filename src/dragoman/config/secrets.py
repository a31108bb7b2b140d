"""Secrets that the settings only name: what a variable or a file holds is looked up for a gateway that serves.

Whoever asks a gateway, or looks at its settings, may not be able to read them, and need not.

Secrets, where they are handed over.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, SecretStr

from dragoman.config.loading import BadSettings
from dragoman.config.settings import Settings
from dragoman.config.sources import secret_variable
from dragoman.config.values import read_key_file


def resolve_secrets(settings: Settings) -> Settings:
    """The settings with each key and token in its place. Those that are there already stay.

    Raises:
        BadSettings: One cannot be found, or two clients have the same key.
    """
    keys = [key.model_copy(update={"api_key": _held(key, f"key `{key.name}`", "api_key")}) for key in settings.keys]
    _tell_apart((key.name, key.api_key.get_secret_value()) for key in keys if key.api_key)
    upstreams = [
        upstream.model_copy(
            update={kind: _held(upstream, f"upstream `{upstream.name}`", kind) for kind in ("api_key", "auth_token")}
        )
        for upstream in settings.upstreams
    ]
    return settings.model_copy(update={"keys": tuple(keys), "upstreams": tuple(upstreams)})


def _held(named: BaseModel, whose: str, kind: str) -> SecretStr | None:
    """A key or token, given by itself, by its variable or by its file."""
    value: SecretStr | None = getattr(named, kind)
    variable: str | None = getattr(named, f"{kind}_env")
    path: Path | None = getattr(named, f"{kind}_file")
    if value or not (variable or path):
        return value
    if variable:
        if not (found := secret_variable(variable)):
            raise BadSettings(f"{whose}: {kind}_env names {variable}, which is not set. Set it, or put it into .env.")
        return SecretStr(found)
    try:
        return SecretStr(read_key_file(Path(str(path)), f"{whose}: {kind}_file"))
    except ValueError as error:
        raise BadSettings(str(error)) from None


def _tell_apart(keys: Iterator[tuple[str, str]]) -> None:
    owners: dict[str, str] = {}
    for name, key in keys:
        if (other := owners.setdefault(key, name)) != name:
            raise BadSettings(f"the keys `{other}` and `{name}` are the same: each client needs one of its own.")


def reveal(value: SecretStr | None) -> str | None:
    """The secret itself, if there is one."""
    return value.get_secret_value() if value else None
