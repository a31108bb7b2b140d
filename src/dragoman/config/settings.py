"""Every setting, defined once. Command-line flags, `.env.example` and `docs/settings.md` are generated from this.

Precedence: flag, `DRAGOMAN_*` variable, fallback variable, `.env`, TOML file, default.
"""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from dragoman.config.limits import ModelLimitSettings
from dragoman.config.sources import Layer, all_sources, info_of
from dragoman.config.upstreams import Cloud, KeySettings, UpstreamSettings, check_distinct, check_upstreams
from dragoman.config.values import (
    AnyBackendName,
    SettingInfo,
    check_time_zone,
    duration,
    many_names,
    many_rules,
    pairs,
    read_key_file,
    state_dir,
    switch_or_names,
    tables,
)
from dragoman.limits.spec import check_budgets

_SECONDS = BeforeValidator(duration)
_Names = Annotated[tuple[str, ...], BeforeValidator(many_names)]
_ACCESS, _CLAUDE, _MODELS, _LIMITS = "Address and access", "Claude", "Models", "Limits"
_POOL, _STORE = "Processes", "Stored responses"
_EMBEDDINGS, _FETCH = "Embeddings", "Images and files by URL"
_ANSWERS, _LOG, _AGENTS = "Requests and responses", "Files, log and development", "Agents"
_Mode = Literal["default", "plan", "acceptEdits", "dontAsk", "bypassPermissions"]


class Settings(BaseSettings):
    """The settings of a gateway, validated and frozen."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_file=".env", validate_default=False)

    host: Annotated[str, SettingInfo(_ACCESS)] = Field("127.0.0.1", description="Address to listen on.")
    port: Annotated[int, SettingInfo(_ACCESS, short="-p", fallback="PORT")] = Field(
        8787, ge=0, le=65535, description="Port to listen on. 0: any free port."
    )
    api_key: Annotated[SecretStr | None, SettingInfo(_ACCESS)] = Field(
        None, description="Key that clients must send. Required on any address but loopback."
    )
    api_key_file: Annotated[Path | None, SettingInfo(_ACCESS)] = Field(
        None, description="File that holds the key, instead of `api_key`."
    )
    admin_key: Annotated[SecretStr | None, SettingInfo(_ACCESS)] = Field(
        None, description="Key for `/admin/`, apart from the keys of clients. Without it `api_key` opens `/admin/`."
    )
    admin_key_file: Annotated[Path | None, SettingInfo(_ACCESS)] = Field(
        None, description="File that holds that key, instead of `admin_key`."
    )
    keys: Annotated[
        tuple[KeySettings, ...],
        BeforeValidator(partial(tables, setting="keys")),
        AfterValidator(check_distinct),
        SettingInfo(_ACCESS, flag=False, shown="none: one key, `api_key`"),
    ] = Field((), description="Keys of clients, by name: tables in TOML, or JSON. See [security.md](security.md#keys).")
    allow_host: Annotated[_Names, SettingInfo(_ACCESS)] = Field(
        (), description="Additional `Host` names that requests may have (`gateway.example.com`, `*.example.com`)."
    )
    allow_origin: Annotated[_Names, SettingInfo(_ACCESS)] = Field(
        (), description="Web origins whose pages may use the gateway (`https://app.example.com`)."
    )
    open_models: Annotated[bool, SettingInfo(_ACCESS)] = Field(False, description="Serve `/v1/models` without a key.")
    allow_remote_signed_in: Annotated[bool, SettingInfo(_ACCESS)] = Field(
        False, description="Allow `signed_in` on an address that is not loopback. You are responsible for who uses it."
    )

    backend: Annotated[AnyBackendName, SettingInfo(_CLAUDE)] = Field(
        "runtime",
        description="How to call Claude: `runtime` (alias `sdk`), the Claude Code runtime; `api`, the Messages API; "
        "`cli`, one `claude -p` for each run, text only.",
    )
    cloud: Annotated[Cloud | None, SettingInfo(_CLAUDE)] = Field(
        None, description="Claude on a cloud, with the backend `api`: `bedrock` or `vertex`."
    )
    upstreams: Annotated[
        tuple[UpstreamSettings, ...],
        BeforeValidator(partial(tables, setting="upstreams")),
        AfterValidator(check_upstreams),
        SettingInfo(_CLAUDE, flag=False, shown="none: one account, from the other settings"),
    ] = Field(
        (), description="Several accounts instead of one: tables in TOML, or JSON. See [upstreams.md](upstreams.md)."
    )
    fallback: Annotated[bool, SettingInfo(_CLAUDE)] = Field(
        False, description="Send a run to the next upstream if one is rate limited, unavailable, or over its budget."
    )
    claude_command: Annotated[Path | None, SettingInfo(_CLAUDE, shown="the bundled one")] = Field(
        None, description="Claude Code executable to run."
    )
    signed_in: Annotated[bool, SettingInfo(_CLAUDE)] = Field(
        False,
        description="Use the operator's Claude Code sign-in instead of an API key. For the operator only.",
    )
    anthropic_api_key: Annotated[SecretStr | None, SettingInfo(_CLAUDE, flag=False, variable="ANTHROPIC_API_KEY")] = (
        Field(None, description="API key for Claude.")
    )
    anthropic_auth_token: Annotated[
        SecretStr | None, SettingInfo(_CLAUDE, flag=False, variable="ANTHROPIC_AUTH_TOKEN")
    ] = Field(None, description="Bearer token that the backend `api` uses if there is no API key.")
    anthropic_base_url: Annotated[str | None, SettingInfo(_CLAUDE, flag=False, variable="ANTHROPIC_BASE_URL")] = Field(
        None, description="Base URL of the Messages API."
    )
    claude_config_dir: Annotated[Path | None, SettingInfo(_CLAUDE, flag=False, variable="CLAUDE_CONFIG_DIR")] = Field(
        None, description="Directory of the settings and the sign-in of Claude Code."
    )
    retries: Annotated[int, SettingInfo(_CLAUDE)] = Field(
        2, ge=0, description="How often to repeat a call to Claude that failed before its first byte."
    )
    cache_ttl: Annotated[Literal["5m", "1h", "off"], SettingInfo(_CLAUDE)] = Field(
        "5m", description="How long Claude caches prompts of the backend `api` whose client sets no cache marks."
    )
    keep_output: Annotated[Literal["failed", "all", "off"], SettingInfo(_CLAUDE)] = Field(
        "failed", description="Runs of the backend `cli` whose command output is stored in the state directory."
    )
    output_ttl: Annotated[float, _SECONDS, SettingInfo(_CLAUDE)] = Field(
        604_800.0,
        ge=0,
        description="Seconds to store the output. Of more than 100 runs the oldest are deleted earlier.",
    )
    simulate: Annotated[bool, SettingInfo(_CLAUDE)] = Field(
        False, description="Use the built-in simulator instead of Claude: no account, no network."
    )

    default_model: Annotated[str, SettingInfo(_MODELS)] = Field(
        "sonnet", description="Model of requests that name none."
    )
    models: Annotated[_Names, SettingInfo(_MODELS, shown="live list")] = Field(
        (), description="The only models to list and serve."
    )
    model_aliases: Annotated[dict[str, str], BeforeValidator(pairs), SettingInfo(_MODELS)] = Field(
        default_factory=dict, description="Additional names for models: `fast=haiku,gpt-4o=sonnet`."
    )
    map_retired_models: Annotated[bool, SettingInfo(_MODELS)] = Field(
        False, description="Replace retired models by their successors, with a warning, instead of 404."
    )

    max_concurrency: Annotated[int, SettingInfo(_LIMITS)] = Field(
        8, ge=1, description="Maximum number of runs at the same time."
    )
    max_queue_size: Annotated[int, SettingInfo(_LIMITS)] = Field(
        100, ge=0, description="Maximum number of runs in the queue."
    )
    requests_per_minute: Annotated[int | None, SettingInfo(_LIMITS, shown="no limit")] = Field(
        None, ge=1, description="Maximum number of requests per minute."
    )
    tokens_per_minute: Annotated[int | None, SettingInfo(_LIMITS, shown="no limit")] = Field(
        None, ge=1, description="Maximum number of tokens per minute, of prompts and responses."
    )
    budget: Annotated[_Names, AfterValidator(check_budgets), SettingInfo(_LIMITS, shown="none")] = Field(
        (), description="What the gateway may spend: `20usd/month`, also `/day` and `/week`. Can be repeated."
    )
    model_limits: Annotated[
        tuple[ModelLimitSettings, ...],
        BeforeValidator(partial(tables, setting="model_limits")),
        SettingInfo(_LIMITS, flag=False, shown="none"),
    ] = Field((), description="Limits and budgets for single models, in addition: tables in TOML, or JSON.")
    time_zone: Annotated[str, AfterValidator(check_time_zone), SettingInfo(_LIMITS)] = Field(
        "UTC", description="Time zone in which days, weeks and months of budgets begin (`Europe/Berlin`)."
    )
    run_timeout: Annotated[float, _SECONDS, SettingInfo(_LIMITS)] = Field(
        600.0, gt=0, description="Maximum seconds of a run."
    )
    silence_timeout: Annotated[float, _SECONDS, SettingInfo(_LIMITS)] = Field(
        300.0, gt=0, description="Seconds without any data from Claude after which a run fails."
    )
    max_request_bytes: Annotated[ByteSize, SettingInfo(_LIMITS, shown="32MiB")] = Field(
        ByteSize(32 * 2**20), ge=1, description="Maximum size of a request body (`1000000`, `64MiB`)."
    )
    max_body_memory: Annotated[ByteSize, SettingInfo(_LIMITS, shown="256MiB")] = Field(
        ByteSize(256 * 2**20),
        ge=1,
        description="Maximum memory for all request bodies over 128 KiB at the same time. Each counts three times its "
        "size until its response is complete. Further ones wait up to a minute, then get 503.",
    )

    workers: Annotated[int, SettingInfo(_POOL)] = Field(
        1,
        ge=1,
        le=64,
        description="Number of gateway processes on the port. The limits hold for all of them together; each has its "
        "own warm and live processes.",
    )
    spares: Annotated[int, SettingInfo(_POOL)] = Field(
        2, ge=0, description="Warm processes: booted, and waiting for a request."
    )
    long_spares: Annotated[int, SettingInfo(_POOL)] = Field(
        1,
        ge=0,
        description="Further warm processes, for conversations of 20 messages or more that no process holds. "
        "None if `spares` is 0.",
    )
    max_live: Annotated[int, SettingInfo(_POOL)] = Field(
        8, ge=0, description="Maximum number of live processes: each holds a conversation for the next turn."
    )
    live_ttl: Annotated[float, _SECONDS, SettingInfo(_POOL)] = Field(
        600.0, ge=0, description="Seconds to keep a live process without a request."
    )
    parked_ttl: Annotated[float, _SECONDS, SettingInfo(_POOL)] = Field(
        600.0, ge=0, description="Seconds that a process waits for the result of a tool call."
    )
    thinking_ttl: Annotated[float, _SECONDS, SettingInfo(_POOL)] = Field(
        86_400.0,
        ge=0,
        description="Seconds to store thinking, encrypted, for clients that do not send it back. 0: do not store it.",
    )
    max_memory: Annotated[ByteSize, SettingInfo(_POOL, shown="2GiB")] = Field(
        ByteSize(2 * 2**30),
        ge=0,
        description="Maximum memory of all processes. Above it the least recently used process ends.",
    )

    database: Annotated[SecretStr | None, SettingInfo(_STORE, shown="files in `state_dir`")] = Field(
        None,
        description="PostgreSQL server for many nodes: `postgresql://USER:PASSWORD@HOST/NAME`. Needs the extra "
        "`postgres`. See [cluster.md](cluster.md).",
    )
    redis: Annotated[SecretStr | None, SettingInfo(_STORE, shown="none")] = Field(
        None,
        description="Redis or Valkey server that many nodes share, with `database`: `redis://:PASSWORD@HOST:6379/0`. "
        "Needs the extra `redis`. See [cluster.md](cluster.md#redis).",
    )
    open_without_redis: Annotated[bool, SettingInfo(_STORE)] = Field(
        False,
        description="While Redis cannot be used, admit what limits on requests, tokens and runs cover. Off: with 503, "
        "once what is borrowed is used up. Budgets are never open.",
    )
    encryption_key: Annotated[SecretStr | None, SettingInfo(_STORE, shown="a file in `state_dir`")] = Field(
        None, description="Encrypts what is stored in the database: at least 16 characters, the same on all nodes."
    )
    encryption_key_file: Annotated[Path | None, SettingInfo(_STORE)] = Field(
        None, description="File that holds that key, instead of `encryption_key`."
    )
    node_address: Annotated[str | None, SettingInfo(_STORE, shown="nodes do not reach each other")] = Field(
        None,
        description="Host and port at which the other nodes reach this one (`10.0.0.1:8901`); several workers also use "
        "the next ports. Needs `database`.",
    )
    forward_turns: Annotated[bool, SettingInfo(_STORE)] = Field(
        True,
        description="Let the worker or node that holds a conversation in a live process answer its next turn. Off: "
        "replay it where it came.",
    )
    store: Annotated[bool, SettingInfo(_STORE)] = Field(
        True,
        description="Store responses, and chat completions with `store`, so that clients can read and continue them.",
    )
    store_ttl: Annotated[float, _SECONDS, SettingInfo(_STORE)] = Field(
        30 * 86_400.0, gt=0, description="Seconds to store them."
    )
    store_max_entries: Annotated[int, SettingInfo(_STORE)] = Field(
        100_000,
        ge=1,
        description="Maximum number of stored responses. Above it the conversations unused for longest are deleted.",
    )
    store_max_bytes: Annotated[ByteSize, SettingInfo(_STORE, shown="1GiB")] = Field(
        ByteSize(2**30),
        ge=1,
        description="Maximum size of stored responses. Above it the conversations unused for longest are deleted.",
    )

    idempotency_ttl: Annotated[float, _SECONDS, SettingInfo(_STORE)] = Field(
        86_400.0,
        ge=0,
        description="Seconds for which a request with an `Idempotency-Key` gets the response of the first one with the "
        "same key. 0: refuse the header.",
    )
    idempotency_max_bytes: Annotated[ByteSize, SettingInfo(_STORE, shown="256MiB")] = Field(
        ByteSize(256 * 2**20),
        ge=1,
        description="Maximum size of these responses. Above it the oldest of the client with most bytes are deleted.",
    )

    response_cache: Annotated[float, _SECONDS, SettingInfo(_STORE, shown="off")] = Field(
        0.0,
        ge=0,
        description="How long exactly the same request gets the response of the first one: `90s`, `15m`, `1h`, `7d` or "
        "seconds. `off`: never.",
    )
    response_cache_bytes: Annotated[ByteSize, SettingInfo(_STORE, shown="64MiB")] = Field(
        ByteSize(64 * 2**20),
        ge=1,
        description="Maximum size of the response cache, with `redis` that of all nodes. Above it the responses unused "
        "for longest are deleted.",
    )
    response_cache_shared: Annotated[bool, SettingInfo(_STORE)] = Field(
        False, description="Share cached responses between client keys. Off: each key has its own."
    )

    embeddings_model: Annotated[str, SettingInfo(_EMBEDDINGS)] = Field(
        "all-MiniLM-L6-v2",
        min_length=1,
        description="Model of `/v1/embeddings`: a sentence-transformers model by name or directory. With "
        "`embeddings_url`: a model of that endpoint.",
    )
    embeddings_url: Annotated[str | None, SettingInfo(_EMBEDDINGS, shown="none: a local model")] = Field(
        None,
        pattern="^https?://.",
        description="OpenAI-compatible or Voyage endpoint to use instead (`https://api.voyageai.com/v1`).",
    )
    embeddings_api_key: Annotated[SecretStr | None, SettingInfo(_EMBEDDINGS, flag=False)] = Field(
        None, description="API key of that endpoint."
    )
    embeddings_truncate: Annotated[bool, SettingInfo(_EMBEDDINGS)] = Field(
        False, description="Truncate inputs that are too long for the model, with a warning, instead of 400."
    )
    embeddings_batch: Annotated[int, SettingInfo(_EMBEDDINGS)] = Field(
        64, ge=1, le=1000, description="Number of inputs in one batch."
    )
    embeddings_timeout: Annotated[float, _SECONDS, SettingInfo(_EMBEDDINGS)] = Field(
        120.0, gt=0, description="Maximum seconds of an embeddings request."
    )

    allow_dir: Annotated[
        tuple[Path, ...],
        BeforeValidator(many_names),
        SettingInfo(_AGENTS, shown="none: no agents", aliases=("--allowed-working-directory-prefixes",)),
    ] = Field((), description="Directory in which agents may work, with its subdirectories.")
    allow_permission_mode: Annotated[
        tuple[_Mode, ...],
        BeforeValidator(many_names),
        SettingInfo(_AGENTS, shown="`default`, `plan`, `acceptEdits`", aliases=("--allowed-permission-modes",)),
    ] = Field(
        ("default", "plan", "acceptEdits"),
        description="Permission modes that clients may request. `bypassPermissions` lets agents run any command.",
    )
    allow_tool: Annotated[tuple[str, ...], BeforeValidator(many_rules), SettingInfo(_AGENTS)] = Field(
        (), description="What agents may do without permission, in the syntax of Claude Code rules (`Bash(pytest *)`)."
    )
    agent_boundary: Annotated[bool, SettingInfo(_AGENTS)] = Field(
        True,
        description="Run agents in a boundary of bubblewrap: they see the system's programs and their own directories, "
        "no other files and no other processes. Off: accept agents that can reach what the gateway's own user can.",
    )
    allow_read: Annotated[
        tuple[Path, ...], BeforeValidator(many_names), SettingInfo(_AGENTS, shown="none: no file of a home")
    ] = Field((), description="Further file or directory that agents in the boundary can read, such as `~/.cargo`.")
    agent_max_budget_usd: Annotated[float, SettingInfo(_AGENTS)] = Field(
        5.0, ge=0, description="Maximum cost of one agent run in dollars. 0: only the client's own limit."
    )
    agents: Annotated[bool, SettingInfo(_AGENTS)] = Field(
        True, description="Allow clients with the key to start agents, if `allow_dir` is set."
    )

    fetch_urls: Annotated[
        tuple[str, ...],
        BeforeValidator(switch_or_names),
        SettingInfo(_FETCH, shown="`off`: Claude fetches https images and PDFs itself"),
    ] = Field(
        ("off",),
        description="Whether the gateway fetches URLs: `off`, `on`, or hosts to fetch from (`a.example, *.b.example`).",
    )
    fetch_timeout: Annotated[float, _SECONDS, SettingInfo(_FETCH)] = Field(
        10.0, gt=0, description="Maximum seconds to fetch all files of a request."
    )
    fetch_max_bytes: Annotated[ByteSize, SettingInfo(_FETCH, shown="20MiB")] = Field(
        ByteSize(20 * 2**20), ge=1, description="Maximum size of a fetched file."
    )

    warnings: Annotated[Literal["header", "text"], SettingInfo(_ANSWERS)] = Field(
        "header",
        description="Where clients get warnings: in the header `x-dragoman-warnings`; with `text`, also as one line in "
        "front of the text of a response.",
    )
    strict_parameters: Annotated[bool, SettingInfo(_ANSWERS)] = Field(
        False, description="Refuse unknown request fields with 400 instead of a warning."
    )
    strict_mapping: Annotated[bool, SettingInfo(_ANSWERS)] = Field(
        False, description="Refuse options that Claude supports only approximately, instead of a warning."
    )
    heartbeat: Annotated[float, _SECONDS, SettingInfo(_ANSWERS)] = Field(
        15.0, gt=0, description="Seconds without an event after which a stream gets a comment line."
    )
    shutdown_grace: Annotated[float, _SECONDS, SettingInfo(_ANSWERS)] = Field(
        10.0, ge=0, description="Seconds that running requests have to end when the gateway stops."
    )
    shutdown_delay: Annotated[float, _SECONDS, SettingInfo(_ANSWERS)] = Field(
        0.0,
        ge=0,
        description="Seconds for which a gateway that stops still takes requests while it is not ready, so that a load "
        "balancer sends none any more when it refuses them.",
    )
    runs_kept: Annotated[int, SettingInfo(_ANSWERS)] = Field(
        10_000, ge=0, description="Maximum number of stored run records. 0: runs are known only while they are open."
    )
    runs_ttl: Annotated[float, _SECONDS, SettingInfo(_ANSWERS)] = Field(
        604_800.0, gt=0, description="Seconds to store a run record."
    )
    runs_content: Annotated[bool, SettingInfo(_ANSWERS)] = Field(
        False, description="Store prompts and responses with the run records, encrypted."
    )

    config: Annotated[
        Path | None, SettingInfo(_LOG, shown="`dragoman.toml` in the platform's configuration directory")
    ] = Field(None, description="TOML file with settings.")
    state_dir: Annotated[Path, SettingInfo(_LOG, shown="the platform's state directory")] = Field(
        default_factory=state_dir, description="Directory for the gateway's own files."
    )
    otlp_endpoint: Annotated[str | None, SettingInfo(_LOG)] = Field(
        None,
        description="Collector that gets a trace of each run, by OTLP over HTTP: `http://localhost:4318/v1/traces`.",
    )
    otlp_conventions: Annotated[Literal["1.41", "latest"], SettingInfo(_LOG)] = Field(
        "1.41", description="Version of OpenTelemetry's conventions for generative AI, for the names in traces."
    )
    otlp_content: Annotated[bool, SettingInfo(_LOG)] = Field(
        False, description="Send prompts and responses with the traces."
    )
    log_level: Annotated[Literal["info", "debug", "trace", "off"], SettingInfo(_LOG)] = Field(
        "info", description="`debug` and `trace` also log prompts and responses. `info` does not."
    )
    log_file: Annotated[Path | None, SettingInfo(_LOG, shown="the terminal")] = Field(
        None, description="File for the log, as JSON lines, readable by its owner only."
    )
    trace_file: Annotated[Path | None, SettingInfo(_LOG)] = Field(
        None, description="Additional file for everything at level `trace`, including prompts and responses."
    )
    log_max_bytes: Annotated[ByteSize, SettingInfo(_LOG, shown="50MiB")] = Field(
        ByteSize(50 * 2**20), ge=0, description="Size at which a log or trace file is rotated. 0: never."
    )
    log_keep: Annotated[int, SettingInfo(_LOG)] = Field(5, ge=0, description="Number of rotated files to keep.")
    reload: Annotated[bool, SettingInfo(_LOG)] = Field(False, description="Restart when the code or a setting changes.")

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

    def for_worker(self, index: int) -> "Settings":
        """Return the settings of one of several workers: its share of each limit, so that the sum is the limit."""

        def share(limit: int) -> int:
            return limit // self.workers + (index < limit % self.workers)

        changes: dict[str, object] = {
            name: share(getattr(self, name)) for name in ("max_concurrency", "max_queue_size", "max_memory")
        }
        changes["max_body_memory"] = max(1, share(self.max_body_memory))
        if not self.redis:  # there all processes share it
            changes["response_cache_bytes"] = max(1, share(self.response_cache_bytes))
        changes["upstreams"] = tuple(
            one.model_copy(update={"places": one.places and share(one.places)}) for one in self.upstreams
        )
        return self.model_copy(update=changes)

    @model_validator(mode="before")
    @classmethod
    def _key_from_file(cls, values: dict[str, object]) -> dict[str, object]:
        for name in ("api_key", "admin_key", "encryption_key"):
            flag = f"--{name.replace('_', '-')}"
            if not (path := values.get(f"{name}_file")):
                continue
            if values.get(name):
                raise ValueError(f"{name} ({flag}) and {name}_file ({flag}-file) are both set: choose one")
            values = {**values, name: read_key_file(Path(str(path)), f"{name}_file ({flag}-file)")}
        return values

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours knows fallbacks
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - `api_key_file` instead
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of values, the strongest first."""
        known = {name: info_of(field) for name, field in settings_cls.model_fields.items()}
        env_file = cast("Path | str | None", getattr(dotenv_settings, "env_file", None))
        found = all_sources(known, init_settings(), env_file)
        return tuple(Layer(settings_cls, source.values) for source in found)
