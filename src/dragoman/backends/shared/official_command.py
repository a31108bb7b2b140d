"""What the official command says of itself and of the sign-in. No token passes through here."""

import asyncio
import contextlib
import json
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from dragoman.backends.shared.installation import Installation, locate
from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSON, JSONObject

_PATIENCE = 15.0
_MILLISECONDS = 1e11
"""Figures above this are milliseconds since 1970, and no seconds."""


async def version(installation: Installation, environment: Mapping[str, str], work: Path) -> str | None:
    """The version of Claude Code that is run; None where it does not say."""
    said = await _said(installation, ("--version",), environment, work)
    return said.split()[0].decode() if said.split() else None


async def sign_in(installation: Installation, environment: Mapping[str, str], work: Path) -> JSONObject:
    """How the owner's sign-in stands, by `claude auth status`."""
    try:
        told = json.loads(await _said(installation, ("auth", "status"), environment, work))
        logged_in = bool(told["loggedIn"])
    except (ValueError, KeyError, TypeError):
        return {"state": "unknown"}
    expires = _moment(told.get("loginExpiresAt"))
    expired = expires is not None and expires < time.time()
    return {
        "state": "expired" if expired else "signed_in" if logged_in else "signed_out",
        "method": told.get("authMethod"),
        "expires": None if expires is None else datetime.fromtimestamp(expires, UTC).isoformat(),
    }


async def _said(
    installation: Installation, arguments: tuple[str, ...], environment: Mapping[str, str], work: Path
) -> bytes:
    """What the command prints; nothing where it cannot be run, or does not end."""
    try:
        process = await asyncio.create_subprocess_exec(
            locate(installation),
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            env=dict(environment),
            cwd=work,
        )
    except (OSError, GatewayError):
        return b""
    try:
        async with asyncio.timeout(_PATIENCE):
            said, _ = await process.communicate()
            return said
    except TimeoutError:
        return b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _moment(value: JSON) -> float | None:
    """Seconds since 1970, from a figure or a time in ISO 8601."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1000 if value > _MILLISECONDS else value
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(str(value)).timestamp() if value else None
    return None
