"""The settings of one client's key, where clients have keys of their own.

The settings of one upstream: an account of several that Claude is asked with.
"""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from dragoman.config.values import NAME, BackendName, names

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


def check_distinct(keys: tuple[KeySettings, ...]) -> tuple[KeySettings, ...]:
    """The same keys, where each name is one client's."""
    names = [key.name for key in keys]
    if name := next((name for name in names if name in _TAKEN), None):
        raise ValueError(f"a key cannot be called `{name}`: that is who sends {_meant(name)}")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two keys are called `{twice}`")
    return keys


def _meant(name: str) -> str:
    return "the gateway's one key" if name == OWNER else "none"


Cloud = Literal["bedrock", "vertex"]

_SIGN_IN = {
    "bedrock": "it takes AWS credentials as the AWS tools find them, or a Bedrock API key as api_key",
    "vertex": "it takes application default credentials, as `gcloud auth application-default login` makes them",
}
_CREDENTIALS = ("api_key", "api_key_env", "api_key_file", "auth_token", "auth_token_env", "auth_token_file")


class UpstreamSettings(BaseModel):
    """One account, with what it serves and what it may spend."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME, description="What it is called in headers and logs.")
    backend: BackendName = Field("api", description="How it is asked: `runtime` or `api`.")
    cloud: Cloud | None = Field(None, description="`bedrock` or `vertex`: Claude on that cloud, by the backend `api`.")
    region: str | None = Field(None, description="The cloud's region; none: what its own variables and files say.")
    project: str | None = Field(None, description="Vertex: the Google Cloud project.")
    profile: str | None = Field(None, description="Bedrock: the profile of the AWS configuration.")
    model_ids: dict[str, str] = Field(
        default_factory=dict, description="What the cloud calls models: `claude-opus-5-5` to an id of its own."
    )
    api_key: SecretStr | None = Field(None, description="The API key.")
    api_key_env: str | None = Field(None, description="The variable that holds it.")
    api_key_file: Path | None = Field(None, description="The file that holds it.")
    auth_token: SecretStr | None = Field(None, description="A bearer token instead of an API key; backend `api`.")
    auth_token_env: str | None = Field(None, description="The variable that holds it.")
    auth_token_file: Path | None = Field(None, description="The file that holds it.")
    signed_in: bool = Field(
        False, description="The Claude Code sign-in of the account's owner, for the owner alone; backend `runtime`."
    )
    base_url: str | None = Field(None, pattern="^https?://.", description="Address of the Messages API.")
    models: Annotated[tuple[str, ...], BeforeValidator(names)] = Field(
        (), description="Models that it serves: names, aliases, or patterns such as `claude-haiku-*`; none: all."
    )
    keys: Annotated[tuple[str, ...], BeforeValidator(names)] = Field(
        (), description="Names of the clients' keys that it serves; none: whoever may come in."
    )
    places: int | None = Field(None, ge=1, description="Runs at once; none: as many as `max_concurrency`.")
    order: int | None = Field(
        None, description="Lower ones are asked first, equal ones share the conversations; none: its place in the list."
    )
    daily_budget: Decimal | None = Field(None, ge=0, description="Dollars that it may spend in a day of UTC.")
    retries: int | None = Field(
        None, ge=0, description="Its own number of `retries`; none: the setting's, or 0 with `fallback`."
    )

    @model_validator(mode="after")
    def _fits(self) -> "UpstreamSettings":
        given = [name for name in _CREDENTIALS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"upstream `{self.name}`: {' and '.join(given)} are both set: choose one")
        if self.signed_in and given:
            raise ValueError(f"upstream `{self.name}`: signed_in goes without {given[0]}: one account each")
        if self.signed_in and self.backend != "runtime":
            raise ValueError(
                f"upstream `{self.name}`: signed_in is the sign-in of Claude Code, which Claude Code alone may use: "
                'write backend = "runtime"'
            )
        if self.cloud and self.backend != "api":
            raise ValueError(f'upstream `{self.name}`: cloud goes with backend = "api"')
        if given and (self.cloud == "vertex" or (self.cloud and given[0].startswith("auth_token"))):
            raise ValueError(f"upstream `{self.name}`: {given[0]} is nothing to {self.cloud}: {_SIGN_IN[self.cloud]}")
        if self.backend == "runtime" and any(name.startswith("auth_token") for name in given):
            raise ValueError(f'upstream `{self.name}`: {given[0]} goes with backend = "api"; the runtime takes a key')
        if extra := [name for name in ("region", "project", "profile", "model_ids") if getattr(self, name)]:
            self._of_a_cloud(extra)
        return self

    def _of_a_cloud(self, extra: list[str]) -> None:
        wrong = {"bedrock": {"project"}, "vertex": {"profile"}, None: set(extra)}[self.cloud] & set(extra)
        if wrong:
            wanted = "vertex" if "project" in wrong else "bedrock"
            raise ValueError(f'upstream `{self.name}`: {min(wrong)} goes with cloud = "{wanted}"')


def checked(upstreams: tuple[UpstreamSettings, ...]) -> tuple[UpstreamSettings, ...]:
    """The same upstreams, where they can stand side by side."""
    seen = [upstream.name for upstream in upstreams]
    if twice := next((name for name in seen if seen.count(name) > 1), None):
        raise ValueError(f"two upstreams are called `{twice}`")
    signed_in = [f"`{upstream.name}`" for upstream in upstreams if upstream.signed_in]
    if len(signed_in) > 1:
        raise ValueError(
            f"{' and '.join(signed_in)} are both signed in: one sign-in serves its owner, and there is no going from "
            "one plan to another. Keep one of them; the others take API keys or a cloud"
        )
    return upstreams
