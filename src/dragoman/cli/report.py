"""The report of `dragoman doctor --report`: what an issue needs, without secrets and without what people wrote."""

import json
import os
import platform
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path

from dragoman import __version__
from dragoman.backends.claude_code.doctor.report import Finding
from dragoman.cli.effective_config import effective_config, format_rows
from dragoman.cli.instances import InstanceRegistry
from dragoman.config.settings import Settings
from dragoman.core.redaction import Redactor

_PACKAGES = ("claude-agent-sdk", "httptools", "msgspec", "pydantic", "starlette", "uvicorn", "uvloop")
_MAX_ERRORS = 20
_LEVELS = frozenset({"warning", "error", "critical"})
_TEXTS_OF_PEOPLE = frozenset({"exception", "text", "stderr"})
"""Fields of the log that may quote anything."""
_HEAD = """\
# Dragoman report

Read it before you send it. Secrets are left out, and so is what people wrote; names of hosts, files, models and clients
are not.
"""


def write_report(path: Path, settings: Settings, flags: Mapping[str, object], findings: Iterable[Finding]) -> None:
    """Write the report, readable by its owner only.

    Args:
        path: The file. An existing one is replaced.
        settings: The settings.
        flags: The flags that the settings were loaded with.
        findings: The results of the checks.

    Raises:
        OSError: The file cannot be written.
    """
    text = Redactor().text("\n".join(_lines(settings, flags, findings)))
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - a mode
        file.write(f"{text}\n")


def _lines(settings: Settings, flags: Mapping[str, object], findings: Iterable[Finding]) -> Iterator[str]:
    yield _HEAD
    yield from _section("Versions", _versions())
    config = effective_config(flags)
    given = [row for row in config.rows if row.origin.kind != "default"]
    yield from _section("Settings that are not defaults", [*format_rows(given), *config.unknown])
    yield from _section("Checks", (f"{'ok' if one.ok else 'FAILED'}  {one.name}: {one.detail}" for one in findings))
    running = InstanceRegistry(settings.state_dir).running()
    yield from _section("Running gateways", (f"{one.address} {one.version} pid {one.pid}" for one in running))
    yield from _section(f"Last {_MAX_ERRORS} warnings and errors of the log", _last_errors(settings))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield from (f"## {title}", "", "```text", *(list(lines) or ["none"]), "```", "")


def _versions() -> Iterator[str]:
    yield f"dragoman {__version__}"
    yield f"Python {platform.python_version()} ({sys.implementation.name})"
    yield platform.platform()
    installed = {one.name: one.version for one in distributions()}
    yield from (f"{name} {installed[name]}" for name in _PACKAGES if name in installed)


def _last_errors(settings: Settings) -> Iterator[str]:
    """Yield the last failures of the newest log."""
    logs = [settings.log_file.expanduser()] if settings.log_file else []
    logs += settings.state_dir.expanduser().glob("gateway-*.log")
    logs = [path for path in logs if path.is_file()]
    if not logs:
        return
    newest = max(logs, key=lambda path: path.stat().st_mtime)
    found: deque[str] = deque(maxlen=_MAX_ERRORS)
    with newest.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                event = json.loads(line)
                if event["level"] in _LEVELS:
                    found.append(json.dumps({k: v for k, v in event.items() if k not in _TEXTS_OF_PEOPLE}))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
    yield from found
