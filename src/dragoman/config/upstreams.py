"""Settings that are tables: client keys, and upstreams. An upstream is one account to call Claude with."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from dragoman.config.limits import ModelLimits, ScopeLimitSettings
from dragoman.config.values import NAME, BackendName, names

OWNER = "key"
"""The name of the gateway's one key, `api_key`, among the keys of clients."""

Cloud = Literal["bedrock", "vertex"]

ADMIN = "admin"
"""The name of the admin key."""

_RESERVED_NAMES = {OWNER: "the gateway's one key", "local": "no key", ADMIN: "the admin key"}
"""Names of clients in logs and records, and what such a client sends."""

_KEY_FIELDS = ("api_key", "api_key_env", "api_key_file")
_CREDENTIAL_FIELDS = (*_KEY_FIELDS, "auth_token", "auth_token_env", "auth_token_file")
_CLOUD_SIGN_IN = {
    "bedrock": "it takes AWS credentials as the AWS tools find them, or a Bedrock API key as api_key",
    "vertex": "it takes application default credentials, as `gcloud auth application-default login` makes them",
}


class KeySettings(ScopeLimitSettings):
    """The key of one client, its permissions, limits and budgets."""

    name: str = Field(
        pattern=NAME, description="Name of the client in logs and run records, and in the `keys` of upstreams."
    )
    api_key: SecretStr | None = Field(None, min_length=1, description="The key.")
    api_key_env: str | None = Field(None, description="Environment variable that holds it.")
    api_key_file: Path | None = Field(None, description="File that holds it.")
    agents: bool = Field(True, description="Whether it may start agents, if agents are allowed.")
    team: str = Field("", description="Its team. `dragoman teams create` creates teams.")
    models: Annotated[tuple[str, ...], BeforeValidator(names)] = Field(
        (), description="Models that it may use: names, aliases, or patterns such as `claude-haiku-*`. None: all."
    )
    model_limits: ModelLimits = Field((), description="Limits and budgets for single models, in addition.")

    @model_validator(mode="after")
    def _has_one_source(self) -> "KeySettings":
        if len(given := [name for name in _KEY_FIELDS if getattr(self, name)]) != 1:
            raise ValueError(
                f"key `{self.name}`: {' and '.join(given)} are both set: choose one"
                if given
                else f"key `{self.name}`: it has none of {', '.join(_KEY_FIELDS)}"
            )
        return self


def check_distinct(keys: tuple[KeySettings, ...]) -> tuple[KeySettings, ...]:
    """Return the keys if their names are unique.

    Raises:
        ValueError: They are not.
    """
    names = [key.name for key in keys]
    if name := next((name for name in names if name in _RESERVED_NAMES), None):
        raise ValueError(f"a key cannot be called `{name}`: that is the client that sends {_RESERVED_NAMES[name]}")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two keys are called `{twice}`")
    return keys


class UpstreamSettings(BaseModel):
    """One account: how to call it, what it serves, and what it may spend."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME, description="Name in headers and logs.")
    backend: BackendName = Field("api", description="How to call it: `runtime` or `api`.")
    cloud: Cloud | None = Field(
        None, description="`bedrock` or `vertex`: Claude on that cloud, with the backend `api`."
    )
    region: str | None = Field(None, description="Region of the cloud. None: from the cloud's own variables and files.")
    project: str | None = Field(None, description="Vertex: Google Cloud project.")
    profile: str | None = Field(None, description="Bedrock: profile of the AWS configuration.")
    model_ids: dict[str, str] = Field(
        default_factory=dict,
        description="Ids of models on the cloud, if they are not the usual ones: `claude-opus-5-5` and its id.",
    )
    api_key: SecretStr | None = Field(None, description="API key.")
    api_key_env: str | None = Field(None, description="Environment variable that holds it.")
    api_key_file: Path | None = Field(None, description="File that holds it.")
    auth_token: SecretStr | None = Field(None, description="Bearer token instead of an API key, for the backend `api`.")
    auth_token_env: str | None = Field(None, description="Environment variable that holds it.")
    auth_token_file: Path | None = Field(None, description="File that holds it.")
    signed_in: bool = Field(
        False, description="Use the operator's Claude Code sign-in, for the operator only, with the backend `runtime`."
    )
    base_url: str | None = Field(None, pattern="^https?://.", description="Base URL of the Messages API.")
    models: Annotated[tuple[str, ...], BeforeValidator(names)] = Field(
        (), description="Models that it serves: names, aliases, or patterns such as `claude-haiku-*`. None: all."
    )
    keys: Annotated[tuple[str, ...], BeforeValidator(names)] = Field(
        (), description="Names of the client keys that it serves. None: every client."
    )
    places: int | None = Field(
        None, ge=1, description="Maximum number of runs at the same time. None: `max_concurrency`."
    )
    order: int | None = Field(
        None,
        description="The lowest is used first. Equal ones share the conversations. None: position in the list.",
    )
    daily_budget: Decimal | None = Field(None, ge=0, description="Maximum spending in dollars per day (UTC).")
    retries: int | None = Field(
        None, ge=0, description="Its own number of `retries`. None: the setting, or 0 with `fallback`."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> "UpstreamSettings":
        given = [name for name in _CREDENTIAL_FIELDS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"upstream `{self.name}`: {' and '.join(given)} are both set: choose one")
        if self.signed_in and given:
            raise ValueError(
                f"upstream `{self.name}`: signed_in and {given[0]} are both set: an upstream is one account"
            )
        if self.signed_in and self.backend != "runtime":
            raise ValueError(
                f"upstream `{self.name}`: signed_in is the sign-in of Claude Code, which only Claude Code may use: "
                'write backend = "runtime"'
            )
        if self.cloud and self.backend != "api":
            raise ValueError(f'upstream `{self.name}`: cloud needs backend = "api"')
        if given and (self.cloud == "vertex" or (self.cloud and given[0].startswith("auth_token"))):
            raise ValueError(
                f"upstream `{self.name}`: {given[0]} has no use on {self.cloud}: {_CLOUD_SIGN_IN[self.cloud]}"
            )
        if self.backend == "runtime" and any(name.startswith("auth_token") for name in given):
            raise ValueError(f'upstream `{self.name}`: {given[0]} needs backend = "api"; the runtime takes a key')
        if extra := [name for name in ("region", "project", "profile", "model_ids") if getattr(self, name)]:
            self._check_cloud_fields(extra)
        return self

    def _check_cloud_fields(self, extra: list[str]) -> None:
        wrong = {"bedrock": {"project"}, "vertex": {"profile"}, None: set(extra)}[self.cloud] & set(extra)
        if wrong:
            cloud = "vertex" if "project" in wrong else "bedrock"
            raise ValueError(f'upstream `{self.name}`: {min(wrong)} needs cloud = "{cloud}"')


def check_upstreams(upstreams: tuple[UpstreamSettings, ...]) -> tuple[UpstreamSettings, ...]:
    """Return the upstreams if they can be used together.

    Raises:
        ValueError: They cannot.
    """
    seen = [upstream.name for upstream in upstreams]
    if twice := next((name for name in seen if seen.count(name) > 1), None):
        raise ValueError(f"two upstreams are called `{twice}`")
    signed_in = [f"`{upstream.name}`" for upstream in upstreams if upstream.signed_in]
    if len(signed_in) > 1:
        raise ValueError(
            f"{' and '.join(signed_in)} are both signed in: a sign-in is for its owner only, and must not "
            "be combined with another one. Keep one of them; the others take API keys or a cloud"
        )
    return upstreams
