"""An example value of each setting."""

from collections.abc import Mapping
from pathlib import Path

VALUES: Mapping[str, tuple[str, object]] = {
    "host": ("::1", "::1"),
    "port": ("9000", 9000),
    "api_key": ("secret-1", "secret-1"),
    "allow_host": ("a.example,b.example", ("a.example", "b.example")),
    "allow_origin": ("https://a.example", ("https://a.example",)),
    "backend": ("sdk", "runtime"),
    "claude_command": ("/opt/claude", Path("/opt/claude")),
    "anthropic_api_key": ("secret-2", "secret-2"),
    "anthropic_base_url": ("http://127.0.0.1:1", "http://127.0.0.1:1"),
    "anthropic_auth_token": ("secret-4", "secret-4"),
    "claude_config_dir": ("/opt/config", Path("/opt/config")),
    "cloud": ("bedrock", "bedrock"),
    "upstreams": ("[]", ()),
    "keys": ("[]", ()),
    "retries": ("5", 5),
    "cache_ttl": ("1h", "1h"),
    "keep_output": ("all", "all"),
    "output_ttl": ("60", 60.0),
    "default_model": ("haiku", "haiku"),
    "models": ("haiku, opus", ("haiku", "opus")),
    "model_aliases": ("fast=haiku,gpt-4o=sonnet", {"fast": "haiku", "gpt-4o": "sonnet"}),
    "max_concurrency": ("3", 3),
    "max_queue_size": ("0", 0),
    "requests_per_minute": ("30", 30),
    "tokens_per_minute": ("90000", 90_000),
    "budget": ("20usd/month, 2usd/day", ("20usd/month", "2usd/day")),
    "model_limits": ("[]", ()),
    "otlp_endpoint": ("http://collector:4318/v1/traces", "http://collector:4318/v1/traces"),
    "otlp_conventions": ("latest", "latest"),
    "time_zone": ("Europe/Berlin", "Europe/Berlin"),
    "admin_key": ("secret-5", "secret-5"),
    "run_timeout": ("1.5", 1.5),
    "silence_timeout": ("2.5", 2.5),
    "max_body_memory": ("1MiB", 2**20),
    "max_request_bytes": ("1MiB", 2**20),
    "workers": ("2", 2),
    "spares": ("0", 0),
    "long_spares": ("2", 2),
    "max_live": ("4", 4),
    "live_ttl": ("9", 9.0),
    "parked_ttl": ("8", 8.0),
    "max_memory": ("1GiB", 2**30),
    "thinking_ttl": ("7", 7.0),
    "database": ("postgresql://u:secret-6@h/n", "postgresql://u:secret-6@h/n"),
    "redis": ("redis://:secret-8@h/0", "redis://:secret-8@h/0"),
    "encryption_key": ("secret-7", "secret-7"),
    "node_address": ("10.0.0.1:8901", "10.0.0.1:8901"),
    "store_ttl": ("9", 9.0),
    "store_max_entries": ("12", 12),
    "store_max_bytes": ("2MiB", 2 * 2**20),
    "idempotency_ttl": ("60", 60.0),
    "idempotency_max_bytes": ("2MiB", 2 * 2**20),
    "response_cache": ("1h", 3600.0),
    "response_cache_bytes": ("2MiB", 2 * 2**20),
    "embeddings_model": ("voyage-3.5", "voyage-3.5"),
    "embeddings_url": ("https://api.example/v1", "https://api.example/v1"),
    "embeddings_api_key": ("secret-3", "secret-3"),
    "embeddings_batch": ("8", 8),
    "embeddings_timeout": ("2.5", 2.5),
    "allow_dir": ("/srv/a,/srv/b", (Path("/srv/a"), Path("/srv/b"))),
    "allow_permission_mode": ("plan, dontAsk", ("plan", "dontAsk")),
    "allow_tool": ("Bash(git *),WebFetch", ("Bash(git *)", "WebFetch")),
    "allow_read": ("/opt/a,/opt/b", (Path("/opt/a"), Path("/opt/b"))),
    "agent_max_budget_usd": ("2.5", 2.5),
    "fetch_urls": ("a.example, *.b.example:8443", ("a.example", "*.b.example:8443")),
    "fetch_timeout": ("1.5", 1.5),
    "fetch_max_bytes": ("1MiB", 2**20),
    "warnings": ("text", "text"),
    "heartbeat": ("0.5", 0.5),
    "shutdown_grace": ("0", 0.0),
    "shutdown_delay": ("5s", 5.0),
    "runs_kept": ("5", 5),
    "runs_ttl": ("60", 60.0),
    "state_dir": ("/tmp/state", Path("/tmp/state")),  # noqa: S108 - never created
    "log_level": ("trace", "trace"),
    "trace_file": ("/tmp/trace", Path("/tmp/trace")),  # noqa: S108 - never created
    "log_max_bytes": ("1MiB", 2**20),
    "log_keep": ("0", 0),
    "log_file": ("/tmp/log", Path("/tmp/log")),  # noqa: S108 - never created
}
"""For each setting, a value as text and the value that is read from it. Switches are not listed: they are on."""

FROM_FILES = {"config", "api_key_file", "admin_key_file", "encryption_key_file"}
"""Settings that name files, which must exist."""


def written(name: str) -> tuple[str, object]:
    """Return a value of a setting, as text and as it is read."""
    return VALUES.get(name, ("true", True))
