"""Every setting, once: flags, `.env.example` and the table in `docs/settings.md` are made from this."""

from dragoman.settings.fields import Settings
from dragoman.settings.held import with_secrets
from dragoman.settings.reading import (
    ENV_FILE,
    BadSettings,
    all_given,
    flag,
    given,
    is_secret,
    load,
    named,
    sources,
    variables,
)

__all__ = [
    "ENV_FILE",
    "BadSettings",
    "Settings",
    "all_given",
    "flag",
    "given",
    "is_secret",
    "load",
    "named",
    "sources",
    "variables",
    "with_secrets",
]
