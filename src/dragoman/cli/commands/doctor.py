"""`dragoman doctor`."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict

import click

from dragoman.backends.claude_code.doctor.report import Finding
from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.terminal import progress
from dragoman.config.settings import Settings
from dragoman.wiring.backends import diagnose


@click.command("doctor")
@settings_options(["claude_command", "config"])
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(*, as_json: bool, **flags: object) -> None:
    """Check that the Claude Code runtime does what the gateway builds on, and say what to do where it does not.

    It asks the built-in simulator only: no account, no network. Exit code 1: something is wrong.
    """
    findings = asyncio.run(_examine(settings_from(flags), aloud=not as_json))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    raise SystemExit(0 if all(finding.ok for finding in findings) else 1)


async def _examine(settings: Settings, *, aloud: bool) -> list[Finding]:
    findings: list[Finding] = []
    async with aclosing(diagnose(settings)) as made:
        while (finding := await _next(made, len(findings))) is not None:
            findings.append(finding)
            if aloud:
                click.echo(_line(finding))
    return findings


async def _next(made: AsyncGenerator[Finding], count: int) -> Finding | None:
    async with progress(f"Trying what the gateway builds on, {count} done"):
        return await anext(made, None)


def _line(finding: Finding) -> str:
    mark = click.style("✓", fg="green") if finding.ok else click.style("✗", fg="red")
    line = f"{mark} {finding.name}: {finding.detail}"
    return line if finding.ok or not finding.advice else f"{line}\n    {finding.advice}"
