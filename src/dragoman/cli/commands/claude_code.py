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
from dragoman.config.loading import BadSettings
from dragoman.config.secrets import resolve_secrets
from dragoman.config.settings import Settings
from dragoman.core.errors import GatewayError
from dragoman.wiring.claude_code import diagnose, runtime_options
from dragoman.wiring.stores import check_database, check_redis

_REPORT = "dragoman-report.md"
_installation_options = settings_options(["claude_command", "config"])


@click.command("doctor")
@settings_options(
    ["claude_command", "config", "state_dir", "log_file", "database", "redis", "encryption_key", "encryption_key_file"]
)
@click.option("--cluster", is_flag=True, help="Check PostgreSQL and Redis instead, as this machine reaches them.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--report",
    is_flag=False,
    flag_value=_REPORT,
    type=click.Path(path_type=Path),
    help=f"Also write a report for an issue, without secrets. [default file: {_REPORT}]",
)
def doctor(*, cluster: bool, as_json: bool, report: Path | None, **flags: object) -> None:
    """Check that the installed Claude Code works with the gateway, and say what to do if it does not.

    The check uses the built-in simulator: it needs no account and no network. Exit code 1: a check failed.
    """
    settings = settings_from(flags)
    findings = asyncio.run(_check(_checks_of_cluster(settings) if cluster else diagnose(settings), show=not as_json))
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


def _checks_of_cluster(settings: Settings) -> AsyncGenerator[Finding]:
    """Return the checks of `--cluster`.

    Raises:
        ClickException: There is no cluster, or it cannot be used with these settings.
    """
    try:
        settings = resolve_secrets(settings)
        check_database(settings)
        check_redis(settings)
    except BadSettings as error:
        raise click.ClickException(str(error)) from None
    if not settings.database:
        raise click.ClickException("There is no cluster: set DRAGOMAN_DATABASE, and read docs/cluster.md.")
    from dragoman.wiring.cluster_checks import check_cluster  # noqa: PLC0415 - needs the extra `cluster`

    return check_cluster(settings)


async def _check(checks: AsyncGenerator[Finding], *, show: bool) -> list[Finding]:
    findings: list[Finding] = []
    async with aclosing(checks) as results:
        while (finding := await _next_finding(results, len(findings))) is not None:
            findings.append(finding)
            if show:
                click.echo(_format_finding(finding))
    return findings


async def _next_finding(results: AsyncGenerator[Finding], done: int) -> Finding | None:
    async with progress(f"Checking, {done} checks done"):
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
