"""Secrets, where they are handed over."""

from pydantic import SecretStr


def revealed(value: SecretStr | None) -> str | None:
    """The secret itself, if there is one."""
    return value.get_secret_value() if value else None
