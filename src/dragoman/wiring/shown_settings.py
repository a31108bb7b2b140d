"""The settings that a gateway runs with, for its operator."""

from typing import cast

from pydantic import SecretStr

from dragoman.config.loading import all_setting_info, is_secret
from dragoman.config.settings import Settings
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.redaction import Redactor

_TABLES = ("keys", "upstreams")
"""Settings that are tables. Of each entry its name is shown: the rest may hold secrets of others."""


def shown_settings(settings: Settings) -> list[JSONObject]:
    """Return every setting with its group, its value, and whether that is the default. Contains no secret."""
    redactor = Redactor()
    dumped = settings.model_dump(mode="json", exclude=set(_TABLES))
    dumped |= {name: [entry.name for entry in getattr(settings, name)] for name in _TABLES}
    shown: list[JSONObject] = []
    for name, info in all_setting_info().items():
        value, secret = getattr(settings, name), is_secret(name)
        field = Settings.model_fields[name]
        visible: object = bool(value) if secret or isinstance(value, SecretStr) else redactor.data(dumped[name])
        shown.append(
            {
                "name": name,
                "group": info.group,
                "value": cast("JSON", visible),
                "default": value == field.get_default(call_default_factory=True),
                "secret": secret,
                "description": field.description or "",
            }
        )
    return shown
