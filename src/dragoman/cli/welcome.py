"""What `dragoman` prints without arguments: which gateways run, and what to type next."""

import os

import click

from dragoman import __version__
from dragoman.cli.instances import InstanceRecord, InstanceRegistry
from dragoman.cli.terminal import as_typed
from dragoman.config.loading import BadSettings, load

_STOPPED = (
    ("dragoman serve --simulate", "try everything: no account, no network"),
    ("dragoman serve", "run the gateway with the key in ANTHROPIC_API_KEY"),
    ("dragoman doctor", "check what the gateway needs on this machine"),
)
_RUNNING = (
    ("dragoman connect", "settings for Codex, Claude Code, Cursor and other clients"),
    ("dragoman status", "account, processes, runs and versions"),
    ("dragoman runs", "the newest runs; failed ones with their error"),
    ("dragoman stop", "stop the gateway"),
)


def welcome() -> str:
    """Return the text for this machine: how to start a gateway, or how to use the one that runs."""
    running = _running()
    lines = [f"Dragoman {__version__}: an OpenAI-compatible gateway in front of Claude", ""]
    lines += [f"Running: {one.address}/v1, dashboard {one.address}/dashboard" for one in running]
    if not running:
        has_key = "is set" if os.environ.get("ANTHROPIC_API_KEY") else "is not set"
        lines.append(f"No gateway is running. ANTHROPIC_API_KEY {has_key}.")
    steps = [(as_typed(f"`{command}`").strip("`"), text) for command, text in (_RUNNING if running else _STOPPED)]
    steps.append((as_typed("`dragoman --help`").strip("`"), "all commands"))
    width = max(len(command) for command, _ in steps)
    lines += ["", *(f"  {click.style(f'{command:{width}}', bold=True)}  {text}" for command, text in steps)]
    return "\n".join(lines)


def _running() -> list[InstanceRecord]:
    try:
        return InstanceRegistry(load({}).state_dir).running()
    except (BadSettings, OSError):  # `dragoman serve` explains it
        return []
