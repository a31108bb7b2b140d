"""The settings of one client's key, where clients have keys of their own."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from dragoman.settings.values import NAME

OWNER = "key"
"""What the gateway's one key, `api_key`, is called beside the clients' own."""

_TAKEN = frozenset({OWNER, "local"})
_WAYS = ("api_key", "api_key_env", "api_key_file")


class KeySettings(BaseModel):
    """A key that one client sends, and what it may do with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME, description="What its client is called in logs and records, and in `keys`.")
    api_key: SecretStr | None = Field(None, min_length=1, description="The key.")
    api_key_env: str | None = Field(None, description="The variable that holds it.")
    api_key_file: Path | None = Field(None, description="The file that holds it.")
    agents: bool = Field(True, description="Whether it may start agents, where anybody may.")

    @model_validator(mode="after")
    def _one_way(self) -> "KeySettings":
        if len(given := [way for way in _WAYS if getattr(self, way)]) != 1:
            raise ValueError(
                f"key `{self.name}`: {' and '.join(given)} are both set: choose one"
                if given
                else f"key `{self.name}`: it has none of {', '.join(_WAYS)}"
            )
        return self


def told_apart(keys: tuple[KeySettings, ...]) -> tuple[KeySettings, ...]:
    """The same keys, where each name is one client's."""
    names = [key.name for key in keys]
    if name := next((name for name in names if name in _TAKEN), None):
        raise ValueError(f"a key cannot be called `{name}`: that is who sends {_meant(name)}")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two keys are called `{twice}`")
    return keys


def _meant(name: str) -> str:
    return "the gateway's one key" if name == OWNER else "none"
