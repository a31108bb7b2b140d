"""Where thinking is kept, and whose it is."""

import hashlib

from dragoman.bootstrap.secrets import revealed
from dragoman.settings import Settings
from dragoman.stores.sqlite import SQLiteKeep

_ENTRIES = 20_000


def keep_for(settings: Settings) -> SQLiteKeep | None:
    """The file that thinking is kept in, if it is."""
    if not settings.thinking_ttl:
        return None
    return SQLiteKeep(settings.state_dir.expanduser() / "thinking.db", ttl=settings.thinking_ttl, entries=_ENTRIES)


def account_of(settings: Settings) -> str:
    """What tells the account from others, without telling its key."""
    if settings.signed_in:
        return "signed-in"
    key = revealed(settings.anthropic_api_key) or revealed(settings.anthropic_auth_token) or settings.cloud or ""
    return hashlib.sha256(key.encode()).hexdigest()
