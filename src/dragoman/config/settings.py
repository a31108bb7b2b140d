"""Every setting, once: command-line flags, `.env.example` and the table in `docs/settings.md` are made from this.

Precedence: flag, `DRAGOMAN_*` variable, fallback variable, `.env`, TOML file, default.
"""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from dragoman.config.sources import Layer, all_sources, info_of
from dragoman.config.upstreams import Cloud, KeySettings, UpstreamSettings, check_distinct, checked
from dragoman.config.values import (
    AnyBackendName,
    SettingInfo,
    many_names,
    many_rules,
    pairs,
    read_key_file,
    state_dir,
    switch_or_names,
    tables,
)

_Names = Annotated[tuple[str, ...], BeforeValidator(many_names)]
_ACCESS, _CLAUDE, _MODELS, _LIMITS = "Address and access", "Claude", "Models", "Limits"
_POOL, _STORE = "Processes", "Kept answers"
_EMBEDDINGS, _FETCH = "Embeddings", "Images and files by URL"
_ANSWERS, _LOG, _AGENTS = "Requests and answers", "Files, log and development", "Agents"
_Mode = Literal["default", "plan", "acceptEdits", "dontAsk", "bypassPermissions"]


class Settings(BaseSettings):
    """What the gateway is told, checked and frozen."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_file=".env", validate_default=False)

    host: Annotated[str, SettingInfo(_ACCESS)] = Field("127.0.0.1", description="Address to listen on.")
    port: Annotated[int, SettingInfo(_ACCESS, short="-p", fallback="PORT")] = Field(
        8787, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    api_key: Annotated[SecretStr | None, SettingInfo(_ACCESS)] = Field(
        None, description="Key that clients must send. Needed on any address but loopback."
    )
    api_key_file: Annotated[Path | None, SettingInfo(_ACCESS)] = Field(
        None, description="File that holds the key, instead of `api_key`."
    )
    keys: Annotated[
        tuple[KeySettings, ...],
        BeforeValidator(partial(tables, setting="keys")),
        AfterValidator(check_distinct),
        SettingInfo(_ACCESS, flag=False, shown="none: one key, `api_key`"),
    ] = Field((), description="Keys of clients, by name: tables in TOML, or JSON. See [security.md](security.md#keys).")
    allow_host: Annotated[_Names, SettingInfo(_ACCESS)] = Field(
        (), description="Further `Host` names that requests may carry (`gateway.example.com`, `*.example.com`)."
    )
    allow_origin: Annotated[_Names, SettingInfo(_ACCESS)] = Field(
        (), description="Web origins whose pages may use the gateway (`https://app.example.com`)."
    )
    open_models: Annotated[bool, SettingInfo(_ACCESS)] = Field(False, description="Answer `/v1/models` without a key.")
    allow_remote_signed_in: Annotated[bool, SettingInfo(_ACCESS)] = Field(
        False, description="Let `signed_in` serve on an address that is not loopback. You answer for who uses it."
    )

    backend: Annotated[AnyBackendName, SettingInfo(_CLAUDE)] = Field(
        "runtime",
        description="How Claude is asked: `runtime` (alias `sdk`), the Claude Code runtime; `api`, the Messages API; "
        "`cli`, one `claude -p` a run, text only.",
    )
    cloud: Annotated[Cloud | None, SettingInfo(_CLAUDE)] = Field(
        None, description="Claude on a cloud, by the backend `api`: `bedrock` or `vertex`."
    )
    upstreams: Annotated[
        tuple[UpstreamSettings, ...],
        BeforeValidator(partial(tables, setting="upstreams")),
        AfterValidator(checked),
        SettingInfo(_CLAUDE, flag=False, shown="none: one account, by the other settings"),
    ] = Field(
        (), description="Several accounts instead of one: tables in TOML, or JSON. See [upstreams.md](upstreams.md)."
    )
    fallback: Annotated[bool, SettingInfo(_CLAUDE)] = Field(
        False, description="Let a run go on to the next upstream where one is rate limited, out, or over its budget."
    )
    claude_command: Annotated[Path | None, SettingInfo(_CLAUDE, shown="the bundled one")] = Field(
        None, description="Claude Code executable to run."
    )
    signed_in: Annotated[bool, SettingInfo(_CLAUDE)] = Field(
        False, description="Use the Claude Code sign-in of the account's owner, for the owner alone, and no API key."
    )
    anthropic_api_key: Annotated[SecretStr | None, SettingInfo(_CLAUDE, flag=False, variable="ANTHROPIC_API_KEY")] = (
        Field(None, description="API key that Claude is asked with.")
    )
    anthropic_auth_token: Annotated[
        SecretStr | None, SettingInfo(_CLAUDE, flag=False, variable="ANTHROPIC_AUTH_TOKEN")
    ] = Field(None, description="Bearer token that the backend `api` uses where there is no API key.")
    anthropic_base_url: Annotated[str | None, SettingInfo(_CLAUDE, flag=False, variable="ANTHROPIC_BASE_URL")] = Field(
        None, description="Address of the Messages API that is asked."
    )
    claude_config_dir: Annotated[Path | None, SettingInfo(_CLAUDE, flag=False, variable="CLAUDE_CONFIG_DIR")] = Field(
        None, description="Where Claude Code keeps its settings and sign-in."
    )
    retries: Annotated[int, SettingInfo(_CLAUDE)] = Field(
        2, ge=0, description="How often a call to Claude that failed before its first byte is tried again."
    )
    cache_ttl: Annotated[Literal["5m", "1h", "off"], SettingInfo(_CLAUDE)] = Field(
        "5m", description="How long the backend `api` has Claude's cache keep a prompt whose client set no cache marks."
    )
    keep_output: Annotated[Literal["failed", "all", "off"], SettingInfo(_CLAUDE)] = Field(
        "failed", description="Of which runs of the backend `cli` the state directory keeps what the command printed."
    )
    output_ttl: Annotated[float, SettingInfo(_CLAUDE)] = Field(
        604_800.0, ge=0, description="Seconds that it is kept; of more than 100 runs the oldest go sooner."
    )
    simulate: Annotated[bool, SettingInfo(_CLAUDE)] = Field(
        False, description="Ask the built-in simulator instead of Claude: no account, no network."
    )

    default_model: Annotated[str, SettingInfo(_MODELS)] = Field(
        "sonnet", description="Model where a request names none."
    )
    models: Annotated[_Names, SettingInfo(_MODELS, shown="live list")] = Field(
        (), description="The only models to list and serve."
    )
    model_aliases: Annotated[dict[str, str], BeforeValidator(pairs), SettingInfo(_MODELS)] = Field(
        default_factory=dict, description="Own names for models: `fast=haiku,gpt-4o=sonnet`."
    )
    map_retired_models: Annotated[bool, SettingInfo(_MODELS)] = Field(
        False, description="Answer retired model ids by their successors, with a warning, instead of 404."
    )

    max_concurrency: Annotated[int, SettingInfo(_LIMITS)] = Field(8, ge=1, description="Runs at once.")
    max_queue_size: Annotated[int, SettingInfo(_LIMITS)] = Field(
        100, ge=0, description="Runs that may wait behind them."
    )
    requests_per_minute: Annotated[int | None, SettingInfo(_LIMITS, shown="no limit")] = Field(
        None, ge=1, description="Requests taken in a minute."
    )
    run_timeout: Annotated[float, SettingInfo(_LIMITS)] = Field(600.0, gt=0, description="Seconds that a run may take.")
    silence_timeout: Annotated[float, SettingInfo(_LIMITS)] = Field(
        300.0, gt=0, description="Seconds without any sign of life from Claude after which a run fails."
    )
    max_request_bytes: Annotated[ByteSize, SettingInfo(_LIMITS, shown="32MiB")] = Field(
        ByteSize(32 * 2**20), ge=1, description="Largest request body (`1000000`, `64MiB`)."
    )

    spares: Annotated[int, SettingInfo(_POOL)] = Field(2, ge=0, description="Booted processes that wait for a request.")
    max_live: Annotated[int, SettingInfo(_POOL)] = Field(
        8, ge=0, description="Conversations whose process is kept for the next turn."
    )
    live_ttl: Annotated[float, SettingInfo(_POOL)] = Field(
        600.0, ge=0, description="Seconds that such a process is kept."
    )
    parked_ttl: Annotated[float, SettingInfo(_POOL)] = Field(
        600.0, ge=0, description="Seconds that a process waits for the result of a tool call."
    )
    thinking_ttl: Annotated[float, SettingInfo(_POOL)] = Field(
        86_400.0,
        ge=0,
        description="Seconds that thinking is kept, encrypted, for clients that do not send it back; 0: never.",
    )
    max_memory: Annotated[ByteSize, SettingInfo(_POOL, shown="2GiB")] = Field(
        ByteSize(2 * 2**30), ge=0, description="Memory of all kept processes; the least recently used goes first."
    )

    store: Annotated[bool, SettingInfo(_STORE)] = Field(
        True, description="Keep responses, and chat completions with `store`, to be asked for and gone on from."
    )
    store_ttl: Annotated[float, SettingInfo(_STORE, shown="`2592000`, 30 days")] = Field(
        30 * 86_400.0, gt=0, description="Seconds that they are kept."
    )
    store_max_entries: Annotated[int, SettingInfo(_STORE)] = Field(
        100_000, ge=1, description="The most of them; the conversations left alone longest go first."
    )
    store_max_bytes: Annotated[ByteSize, SettingInfo(_STORE, shown="1GiB")] = Field(
        ByteSize(2**30), ge=1, description="The most bytes of them, in the same way."
    )

    embeddings_model: Annotated[str, SettingInfo(_EMBEDDINGS)] = Field(
        "all-MiniLM-L6-v2",
        min_length=1,
        description="Model of `/v1/embeddings`: a sentence-transformers model by name or directory; with "
        "`embeddings_url`, a model of that endpoint.",
    )
    embeddings_url: Annotated[str | None, SettingInfo(_EMBEDDINGS, shown="none: a local model")] = Field(
        None,
        pattern="^https?://.",
        description="OpenAI-compatible or Voyage endpoint to ask instead (`https://api.voyageai.com/v1`).",
    )
    embeddings_api_key: Annotated[SecretStr | None, SettingInfo(_EMBEDDINGS, flag=False)] = Field(
        None, description="Key of that endpoint."
    )
    embeddings_truncate: Annotated[bool, SettingInfo(_EMBEDDINGS)] = Field(
        False, description="Embed the beginning of inputs too long for the model, with a warning, instead of 400."
    )
    embeddings_batch: Annotated[int, SettingInfo(_EMBEDDINGS)] = Field(
        64, ge=1, le=1000, description="Inputs given to the model at once."
    )
    embeddings_timeout: Annotated[float, SettingInfo(_EMBEDDINGS)] = Field(
        120.0, gt=0, description="Seconds that a request for embeddings may take."
    )

    allow_dir: Annotated[
        tuple[Path, ...],
        BeforeValidator(many_names),
        SettingInfo(_AGENTS, shown="none: no agents", aliases=("--allowed-working-directory-prefixes",)),
    ] = Field((), description="Directory in which, and below which, agents may work.")
    allow_permission_mode: Annotated[
        tuple[_Mode, ...],
        BeforeValidator(many_names),
        SettingInfo(_AGENTS, shown="`default`, `plan`, `acceptEdits`", aliases=("--allowed-permission-modes",)),
    ] = Field(
        ("default", "plan", "acceptEdits"),
        description="Permission modes that clients may ask for; `bypassPermissions` lets them run any command.",
    )
    allow_tool: Annotated[tuple[str, ...], BeforeValidator(many_rules), SettingInfo(_AGENTS)] = Field(
        (), description="What agents may do without asking, as Claude Code writes such rules (`Bash(pytest *)`)."
    )
    agent_max_budget_usd: Annotated[float, SettingInfo(_AGENTS)] = Field(
        5.0, ge=0, description="Dollars that one agent's run may cost; 0: no limit but the client's own."
    )
    agents: Annotated[bool, SettingInfo(_AGENTS)] = Field(
        True, description="Let whoever has the key start agents, where `allow_dir` lets any work."
    )

    fetch_urls: Annotated[
        tuple[str, ...],
        BeforeValidator(switch_or_names),
        SettingInfo(_FETCH, shown="`off`: Claude fetches https images and PDFs itself"),
    ] = Field(
        ("off",),
        description="Whether the gateway fetches them: `off`, `on`, or hosts to fetch from (`a.example, *.b.example`).",
    )
    fetch_timeout: Annotated[float, SettingInfo(_FETCH)] = Field(
        10.0, gt=0, description="Seconds that fetching all files of a request may take."
    )
    fetch_max_bytes: Annotated[ByteSize, SettingInfo(_FETCH, shown="20MiB")] = Field(
        ByteSize(20 * 2**20), ge=1, description="Largest file that is fetched."
    )

    strict_parameters: Annotated[bool, SettingInfo(_ANSWERS)] = Field(
        False, description="Refuse unknown request fields with 400 instead of a warning."
    )
    strict_mapping: Annotated[bool, SettingInfo(_ANSWERS)] = Field(
        False, description="Refuse what the model can only do nearly, instead of mapping it with a warning."
    )
    heartbeat: Annotated[float, SettingInfo(_ANSWERS)] = Field(
        15.0, gt=0, description="Seconds of silence after which a stream gets a comment line."
    )
    shutdown_grace: Annotated[float, SettingInfo(_ANSWERS)] = Field(
        10.0, ge=0, description="Seconds that running answers have to end when the gateway stops."
    )
    runs_kept: Annotated[int, SettingInfo(_ANSWERS)] = Field(
        10_000, ge=0, description="Runs of which a record is kept; 0: runs are known only while they go on."
    )
    runs_ttl: Annotated[float, SettingInfo(_ANSWERS)] = Field(604_800.0, gt=0, description="Seconds that it is kept.")
    runs_content: Annotated[bool, SettingInfo(_ANSWERS)] = Field(
        False, description="Keep prompts and answers with the records, encrypted."
    )

    config: Annotated[
        Path | None, SettingInfo(_LOG, shown="`dragoman.toml` in the platform's configuration directory")
    ] = Field(None, description="TOML file with settings.")
    state_dir: Annotated[Path, SettingInfo(_LOG, shown="the platform's state directory")] = Field(
        default_factory=state_dir, description="Directory for the gateway's own files."
    )
    log_level: Annotated[Literal["info", "debug", "trace", "off"], SettingInfo(_LOG)] = Field(
        "info", description="`debug` and `trace` also log what people write; `info` does not."
    )
    log_file: Annotated[Path | None, SettingInfo(_LOG, shown="the terminal")] = Field(
        None, description="File for the log, as JSON lines, readable by its owner alone."
    )
    trace_file: Annotated[Path | None, SettingInfo(_LOG)] = Field(
        None, description="File for everything at level `trace`, what people write included, beside the log."
    )
    log_max_bytes: Annotated[ByteSize, SettingInfo(_LOG, shown="50MiB")] = Field(
        ByteSize(50 * 2**20), ge=0, description="Size at which a log or trace file is put aside; 0: never."
    )
    log_keep: Annotated[int, SettingInfo(_LOG)] = Field(5, ge=0, description="Files put aside that are kept.")
    reload: Annotated[bool, SettingInfo(_LOG)] = Field(
        False, description="Start again when the code or a setting changes."
    )

    def for_upstream(self, upstream: UpstreamSettings) -> "Settings":
        """Return the settings as if an upstream, whose key is resolved, were the only account."""
        retries = 0 if self.fallback and len(self.upstreams) > 1 else self.retries
        changes: dict[str, object] = {
            "upstreams": (),
            "backend": upstream.backend,
            "cloud": upstream.cloud,
            "signed_in": upstream.signed_in,
            "state_dir": self.state_dir / "upstreams" / upstream.name,
            "claude_config_dir": self.claude_config_dir if upstream.signed_in else None,
            "anthropic_base_url": upstream.base_url or self.anthropic_base_url,
            "retries": retries if upstream.retries is None else upstream.retries,
        }
        if upstream.api_key or upstream.auth_token or upstream.signed_in or upstream.cloud:
            changes |= {"anthropic_api_key": upstream.api_key, "anthropic_auth_token": upstream.auth_token}
        return self.model_copy(update=changes)

    @model_validator(mode="before")
    @classmethod
    def _key_from_file(cls, values: dict[str, object]) -> dict[str, object]:
        if not (path := values.get("api_key_file")):
            return values
        if values.get("api_key"):
            raise ValueError("api_key (--api-key) and api_key_file (--api-key-file) are both set: choose one")
        return {**values, "api_key": read_key_file(Path(str(path)))}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours knows fallbacks
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - `api_key_file` instead
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Say where values come from, the strongest first."""
        known = {name: info_of(field) for name, field in settings_cls.model_fields.items()}
        env_file = cast("Path | str | None", getattr(dotenv_settings, "env_file", None))
        found = all_sources(known, init_settings(), env_file)
        return tuple(Layer(settings_cls, source.values) for source in found)
