"""`dragoman doctor`, `login` and `logout`: the commands about the installed Claude Code."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import click
import msgspec

from dragoman.backends.claude_code.doctor.report import Finding
from dragoman.backends.shared.installation import locate
from dragoman.cli.options import given_flags, settings_from, settings_options
from dragoman.cli.terminal import progress
from dragoman.config.settings import Settings
from dragoman.core.errors import GatewayError
from dragoman.wiring.claude_code import diagnose, runtime_options

_REPORT = "dragoman-report.md"
_installation_options = settings_options(["claude_command", "config"])


@click.command("doctor")
@settings_options(["claude_command", "config", "state_dir", "log_file"])
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--report",
    is_flag=False,
    flag_value=_REPORT,
    type=click.Path(path_type=Path),
    help=f"Also write a report for an issue, without secrets. [default file: {_REPORT}]",
)
def doctor(*, as_json: bool, report: Path | None, **flags: object) -> None:
    """Check that the installed Claude Code works with the gateway, and say what to do if it does not.

    The check uses the built-in simulator: it needs no account and no network. Exit code 1: a check failed.
    """
    settings = settings_from(flags)
    findings = asyncio.run(_check(settings, show=not as_json))
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(finding) for finding in findings], indent=2))
    if report:
        from dragoman.cli.report import write_report  # noqa: PLC0415 - only if asked for

        try:
            write_report(report, settings, given_flags(flags), findings)
        except OSError as error:
            raise click.ClickException(f"{report} cannot be written: {error.strerror}. Name another file.") from None
        click.echo(f"Wrote {report}. Read it before you attach it to an issue.", err=as_json)
    raise SystemExit(0 if all(finding.ok for finding in findings) else 1)


@click.command("login")
@_installation_options
def login(**flags: object) -> None:
    """Sign in to Claude Code. Runs the official command `claude auth login`."""
    _run_claude_auth("login", flags)


@click.command("logout")
@_installation_options
def logout(**flags: object) -> None:
    """Sign out of Claude Code. Runs the official command `claude auth logout`."""
    _run_claude_auth("logout", flags)


async def _check(settings: Settings, *, show: bool) -> list[Finding]:
    findings: list[Finding] = []
    async with aclosing(diagnose(settings)) as results:
        while (finding := await _next_finding(results, len(findings))) is not None:
            findings.append(finding)
            if show:
                click.echo(_format_finding(finding))
    return findings


async def _next_finding(results: AsyncGenerator[Finding], done: int) -> Finding | None:
    async with progress(f"Checking Claude Code, {done} checks done"):
        return await anext(results, None)


def _format_finding(finding: Finding) -> str:
    mark = click.style("✓", fg="green") if finding.ok else click.style("✗", fg="red")
    line = f"{mark} {finding.name}: {finding.detail}"
    return line if finding.ok or not finding.advice else f"{line}\n    {finding.advice}"


def _run_claude_auth(action: str, flags: dict[str, object]) -> None:
    """Run `claude auth ACTION` in this terminal and exit with its code. The gateway never sees a token.

    Raises:
        ClickException: Claude Code is not installed, or it cannot be run.
    """
    settings = settings_from(flags)
    try:
        command = locate(runtime_options(settings))
    except GatewayError as error:
        raise click.ClickException(error.message) from None
    added = {"CLAUDE_CONFIG_DIR": str(settings.claude_config_dir)} if settings.claude_config_dir else {}
    try:
        done = subprocess.run([command, "auth", action], env={**os.environ, **added}, check=False)  # noqa: S603 - the operator's
    except OSError as error:
        raise click.ClickException(
            f"Cannot run {command}: {error.strerror}. Choose another command with --claude-command."
        ) from None
    raise SystemExit(done.returncode)
