"""Secrets in settings: those that the settings only name are looked up when a gateway starts.

Commands that call a gateway or show its settings do not need them, and may not be able to read them.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from pydantic import BaseModel, SecretStr

from dragoman.config.loading import BadSettings
from dragoman.config.settings import Settings
from dragoman.config.sources import secret_variable
from dragoman.config.values import read_key_file

_SECRET_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
)
"""Environment variables from which others than the settings read secrets: the clouds' own tools, and the runtime."""
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
_PASSWORD_IN_URL = re.compile(r"://[^\s/@:]*:([^\s/@]+)@")


def held_secrets(settings: Settings) -> list[str]:
    """Return every secret that the gateway holds, to find them in text. The settings' secrets must be resolved."""
    variables = [os.environ.get(name, "") for name in _SECRET_VARIABLES]
    proxies = [os.environ.get(name, "") for proxy in _PROXY_VARIABLES for name in (proxy, proxy.upper())]
    passwords = [password for url in proxies for password in _passwords(url)]
    return [*_secrets(settings), *variables, *passwords]


def resolve_secrets(settings: Settings) -> Settings:
    """Return the settings with each named key and token looked up. Idempotent.

    Raises:
        BadSettings: A secret cannot be found, or two clients have the same key.
    """
    keys = [key.model_copy(update={"api_key": _resolved(key, f"key `{key.name}`", "api_key")}) for key in settings.keys]
    _check_unique((key.name, key.api_key.get_secret_value()) for key in keys if key.api_key)
    upstreams = [
        upstream.model_copy(
            update={
                kind: _resolved(upstream, f"upstream `{upstream.name}`", kind) for kind in ("api_key", "auth_token")
            }
        )
        for upstream in settings.upstreams
    ]
    return settings.model_copy(update={"keys": tuple(keys), "upstreams": tuple(upstreams)})


def _resolved(table: BaseModel, owner: str, field: str) -> SecretStr | None:
    """Return a key or token that is given directly, by a variable or by a file."""
    value: SecretStr | None = getattr(table, field)
    variable: str | None = getattr(table, f"{field}_env")
    path: Path | None = getattr(table, f"{field}_file")
    if value or not (variable or path):
        return value
    if variable:
        if not (found := secret_variable(variable)):
            raise BadSettings(f"{owner}: {field}_env names {variable}, which is not set. Set it, or put it into .env.")
        return SecretStr(found)
    try:
        return SecretStr(read_key_file(Path(str(path)), f"{owner}: {field}_file"))
    except ValueError as error:
        raise BadSettings(str(error)) from None


def _check_unique(keys: Iterator[tuple[str, str]]) -> None:
    owners: dict[str, str] = {}
    for name, key in keys:
        if (other := owners.setdefault(key, name)) != name:
            raise BadSettings(f"the keys `{other}` and `{name}` are the same: each client needs one of its own.")


def reveal(value: SecretStr | None) -> str | None:
    """Return the secret text, if there is one."""
    return value.get_secret_value() if value else None


def _passwords(url: str) -> Iterator[str]:
    """Yield the password in a URL, as it is written and as it is meant."""
    for password in _PASSWORD_IN_URL.findall(url):
        yield from (password, unquote(password))


def _secrets(value: object) -> Iterator[str]:
    """Yield every secret in the settings, at any depth."""
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case str():
            yield from _passwords(value)
        case BaseModel():
            yield from (secret for name in type(value).model_fields for secret in _secrets(getattr(value, name)))
        case list() | tuple():
            yield from (secret for item in value for secret in _secrets(item))
        case dict():
            yield from (secret for item in value.values() for secret in _secrets(item))
        case _:
            pass
