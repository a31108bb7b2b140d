"""Checks of settings before a gateway starts: `check_settings` lists them all."""

import errno
import importlib.util
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from dragoman.config.loading import BadSettings, describe_setting
from dragoman.config.secrets import reveal
from dragoman.config.settings import Settings
from dragoman.config.upstreams import OWNER
from dragoman.core.catalog import MODEL_LIST_ENDPOINT, Catalog
from dragoman.core.errors import NotFound
from dragoman.core.value_object import replace
from dragoman.server.middleware import is_loopback
from dragoman.stores.sqlite.database import require_supported_sqlite
from dragoman.wiring.stores import check_database, check_redis

_MIN_REMOTE_KEY = 20
"""Characters of a key that guards an address that others can reach."""

SIMULATED_KEY = "sk-ant-simulated"
"""The key for a simulator in place of Claude."""


def check_settings(settings: Settings, *, backend: bool = True) -> None:
    """Check settings whose secrets are resolved. Nothing is opened or started before.

    Args:
        settings: The settings.
        backend: Whether to check what only backends need. Not if the caller brings a backend.

    Raises:
        BadSettings: They are unsafe or contradict each other. The text says what to do.
    """
    check_exposure(settings)
    check_keys(settings)
    _check_sqlite()
    check_database(settings)
    check_redis(settings)
    _check_workers(settings)
    _check_models(settings)
    _check_fetch_hosts(settings)
    _check_embeddings(settings)
    _check_agents(settings)
    _check_traces(settings)
    if backend:
        _check_backends(settings)


def _check_traces(settings: Settings) -> None:
    if settings.otlp_endpoint is None:
        return
    if not settings.otlp_endpoint.startswith(("http://", "https://")):
        raise BadSettings(
            "otlp_endpoint (--otlp-endpoint) is no URL. It is that of a collector, such as "
            "http://localhost:4318/v1/traces."
        )
    if not all(map(_is_installed, ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"))):
        raise BadSettings(
            'otlp_endpoint (--otlp-endpoint) needs OpenTelemetry. Install it: pip install "dragoman[otel]".'
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def check_exposure(settings: Settings) -> None:
    """Refuse settings that would let strangers use the operator's account.

    Raises:
        BadSettings: With what to do instead.
    """
    has_key = bool(settings.api_key or settings.keys or settings.admin_key)
    if "*" in settings.allow_origin and not has_key:
        raise BadSettings(
            "allow_origin (--allow-origin) is `*`: every web page could use this gateway. Set a key: --api-key KEY."
        )
    if "*" in settings.allow_host and not has_key:
        raise BadSettings(
            "allow_host (--allow-host) is `*`: every web page could rebind its own name to this machine and use the "
            "gateway. Name the hosts, or set a key: --api-key KEY."
        )
    if is_loopback(settings.host):
        return
    if not has_key:
        raise BadSettings(
            f"host (--host) is {settings.host}, where others can reach it, and no key is set. Set one: "
            f"`dragoman serve --host {settings.host} --api-key KEY`, or DRAGOMAN_API_KEY or DRAGOMAN_API_KEY_FILE in "
            "the environment; or stay on 127.0.0.1."
        )
    signed_in = settings.signed_in or any(upstream.signed_in for upstream in settings.upstreams)
    if signed_in and not settings.allow_remote_signed_in:
        raise BadSettings(
            f"signed_in (--signed-in) serves the account's owner alone, but host (--host) is {settings.host}, where "
            "others can reach it. Stay on 127.0.0.1; or, if you alone will use it, confirm that: "
            "--allow-remote-signed-in."
        )
    keys = {"api_key (--api-key)": settings.api_key, **{f"the key `{key.name}`": key.api_key for key in settings.keys}}
    for name, key in keys.items():
        if (secret := reveal(key)) and len(secret) < _MIN_REMOTE_KEY:
            raise BadSettings(
                f"{name} has {len(secret)} characters, and host (--host) is {settings.host}: others could guess "
                f"the key. Use a random one of at least {_MIN_REMOTE_KEY} characters; `openssl rand -hex 32` "
                "makes one."
            )


def check_keys(settings: Settings) -> None:
    """Refuse a client key that is the gateway's own, and upstreams that name unknown keys.

    Raises:
        BadSettings: With the name of the key.
    """
    own = reveal(settings.api_key)
    if same := next((key.name for key in settings.keys if own and reveal(key.api_key) == own), None):
        raise BadSettings(f"the key `{same}` is the gateway's own (--api-key), too: give its client another one.")
    admin = reveal(settings.admin_key)
    if admin and admin in {own, *(reveal(key.api_key) for key in settings.keys)}:
        raise BadSettings("the admin key (--admin-key) is a client's, too: give it a value of its own.")
    known = {key.name for key in settings.keys} | ({OWNER} if settings.api_key else set())
    for upstream in settings.upstreams:
        if unknown := next((name for name in upstream.keys if name not in known), None):
            missing = "--api-key KEY" if unknown == OWNER else f"[keys.{unknown}]"
            raise BadSettings(
                f"upstream `{upstream.name}`: keys names `{unknown}`, and there is no such key: set it, {missing}."
            )


def _check_sqlite() -> None:
    try:
        require_supported_sqlite()
    except sqlite3.NotSupportedError as error:
        raise BadSettings(f"{error}.") from None


def _check_workers(settings: Settings) -> None:
    """Refuse what several workers cannot do. Each gets a share of the slots, which must not be nothing."""
    if settings.workers == 1:
        return
    limits: dict[str, int | None] = {"max_concurrency": settings.max_concurrency}
    limits |= {f"places of upstream `{one.name}`": one.places for one in settings.upstreams}
    for name, limit in limits.items():
        if limit is not None and limit < settings.workers:
            raise BadSettings(
                f"workers (--workers) is {settings.workers}, and {name} is {limit}: each worker gets a share of the "
                "limit. Raise the limit, or use fewer workers."
            )
    if not settings.runs_kept:
        raise BadSettings(
            "workers (--workers) needs the records of runs, which all workers share: leave out --runs-kept 0."
        )
    if settings.reload:
        raise BadSettings("workers (--workers) does not go with --reload. Leave one of them out.")


def _check_models(settings: Settings) -> None:
    catalog = Catalog(
        aliases=settings.model_aliases, default=settings.default_model, map_retired=settings.map_retired_models
    )
    targets = tuple(settings.model_aliases.values())
    named = {"default_model": (settings.default_model,), "models": settings.models, "model_aliases": targets}
    for setting, names in named.items():
        for name in names:
            try:
                # An alias may not name another one of the operator's.
                (replace(catalog, aliases={}) if setting == "model_aliases" else catalog).resolve(name)
            except NotFound as error:
                if setting != "models" and _may_be_newer(catalog, name):
                    continue
                advice = error.message.replace(MODEL_LIST_ENDPOINT, "`dragoman models`")
                raise BadSettings(f"{describe_setting(setting)}: {advice}") from None


def _may_be_newer(catalog: Catalog, name: str) -> bool:
    """Return whether only Claude's own list may know this model. A retired model is known."""
    try:
        replace(catalog, map_retired=True).resolve(name)
    except NotFound:
        return name.startswith("claude-")
    return False


def _check_fetch_hosts(settings: Settings) -> None:
    if settings.fetch_urls in {("on",), ("off",)}:
        return
    from dragoman.fetch.rules import Rules  # noqa: PLC0415 - only with hosts

    try:
        Rules(settings.fetch_urls)
    except ValueError as error:
        raise BadSettings(f"{describe_setting('fetch_urls')}: {error}") from None


def _check_embeddings(settings: Settings) -> None:
    if settings.embeddings_url and "embeddings_model" not in settings.model_fields_set:
        raise BadSettings("embeddings_url (--embeddings-url) needs the name of a model there: --embeddings-model NAME.")


def _check_agents(settings: Settings) -> None:
    backends: set[str] = {upstream.backend for upstream in settings.upstreams} or {settings.backend}
    if settings.allow_dir and "runtime" not in backends:
        raise BadSettings(
            "allow_dir (--allow-dir) is for agents, which only Claude Code can run: it needs `--backend runtime`."
        )


def _check_backends(settings: Settings) -> None:
    if settings.allow_dir:
        _check_agent_rules(settings)
    if not settings.upstreams:
        _check_backend(settings)
        return
    if settings.signed_in:
        raise BadSettings("signed_in (--signed-in) goes into the upstream that is signed in: signed_in = true there.")
    if settings.cloud:
        raise BadSettings(f'cloud (--cloud) goes into the upstream on that cloud: cloud = "{settings.cloud}".')
    for upstream in settings.upstreams:
        try:
            _check_backend(settings.for_upstream(upstream))
        except BadSettings as error:
            raise BadSettings(f"upstream `{upstream.name}`: {error}") from None


def _check_backend(settings: Settings) -> None:
    """Check the settings of one backend, with the account's own values in place."""
    if settings.cloud and settings.backend != "api":
        raise BadSettings("cloud (--cloud) needs `--backend api`.")
    if settings.backend == "api":
        if settings.signed_in:
            raise BadSettings(
                "signed_in (--signed-in) is the sign-in of Claude Code, which only Claude Code may use: it needs "
                "`--backend runtime`. The backend `api` takes ANTHROPIC_API_KEY, or a profile of `ant auth login`."
            )
        return
    if (command := claude_command(settings)) and not shutil.which(command):
        raise BadSettings(
            f"{describe_setting('claude_command')}: {command} is not a program that can be run. Name another, or "
            "leave it out: Claude Code comes with Dragoman."
        )


def _check_agent_rules(settings: Settings) -> None:
    if "bypassPermissions" in settings.allow_permission_mode and os.geteuid() == 0 and "IS_SANDBOX" not in os.environ:
        raise BadSettings(
            "allow_permission_mode (--allow-permission-mode): Claude Code refuses `bypassPermissions` to root. Run the "
            "gateway as an ordinary user, or, in a container made for it alone, set IS_SANDBOX=1."
        )
    for directory in settings.allow_dir:
        path = real_path(directory)
        if not path.is_dir():
            raise BadSettings(
                f"allow_dir (--allow-dir): {directory} is not a directory. Create it, or name another one."
            )
        for secret, what, advice in secrets_of(settings):
            if real_path(secret).is_relative_to(path):
                raise BadSettings(
                    f"allow_dir (--allow-dir): {directory} holds {what} ({secret.expanduser()}), which agents must not "
                    f"reach. Name a directory below it, or {advice}."
                )
    from dragoman.backends.claude_code.agent.boundary import Boundary  # noqa: PLC0415 - only for agents

    if settings.agent_boundary and (problem := Boundary().find_problem()):
        raise BadSettings(
            f"allow_dir (--allow-dir): agents cannot run in a boundary here: {problem}. Install bubblewrap and allow "
            "user namespaces, so that `dragoman doctor` finds the boundary; or accept agents that can reach all that "
            "this user can: --no-agent-boundary."
        )


def secrets_of(settings: Settings) -> Iterator[tuple[Path, str, str]]:
    """Yield the paths that agents must not reach, what they are, and what to do if agents could."""
    yield settings.state_dir, "the gateway's own files", "put the files elsewhere with --state-dir"
    if settings.signed_in or any(upstream.signed_in for upstream in settings.upstreams):
        yield settings.claude_config_dir or Path("~/.claude"), "your sign-in", "use an API key instead"
    elsewhere = "put the file elsewhere"
    if settings.api_key_file:
        yield settings.api_key_file, "the gateway's key", elsewhere
    if settings.admin_key_file:
        yield settings.admin_key_file, "the admin key", elsewhere
    if settings.encryption_key_file:
        yield settings.encryption_key_file, "the key of the database", elsewhere
    for key in settings.keys:
        if key.api_key_file:
            yield key.api_key_file, f"the key of the client `{key.name}`", elsewhere
    for upstream in settings.upstreams:
        for path in (upstream.api_key_file, upstream.auth_token_file):
            if path:
                yield path, f"the key of the upstream `{upstream.name}`", elsewhere
    for path, what in ((settings.log_file, "the log"), (settings.trace_file, "the trace file")):
        if path:
            yield path, what, elsewhere


def real_path(path: Path) -> Path:
    """Return the path with `~` and symbolic links resolved."""
    return Path(os.path.realpath(path.expanduser()))


def claude_command(settings: Settings) -> Path | None:
    """Return the Claude Code executable: a file, or the program of that name on the path. None: the bundled one."""
    if settings.claude_command is None:
        return None
    command = settings.claude_command.expanduser()
    return command.absolute() if command.is_file() else Path(shutil.which(command) or command)


def make_state_dir(settings: Settings) -> None:
    """Create the state directory, readable by its owner only.

    Raises:
        BadSettings: It cannot be created or written to.
    """
    directory = settings.state_dir.expanduser()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise BadSettings(
            f"{describe_setting('state_dir')}: {directory} cannot be used: {error.strerror}. Name another."
        ) from None
