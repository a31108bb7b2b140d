"""The official command's own version, and the state of the sign-in that it uses. No token passes through here."""

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

_TIMEOUT = 15.0
_MIN_MILLISECONDS = 1e11
"""Numbers above this are milliseconds since 1970, not seconds."""


async def version(installation: Installation, environment: Mapping[str, str], work: Path) -> str | None:
    """Return the version of the installed Claude Code; None if it does not report one."""
    words = (await _output(installation, ("--version",), environment, work)).split()
    return words[0].decode() if words else None


async def sign_in(installation: Installation, environment: Mapping[str, str], work: Path) -> JSONObject:
    """Return the state of the operator's sign-in, by `claude auth status`.

    Returns:
        `state`: `signed_in`, `signed_out`, `expired` or `unknown`. Unless it is unknown, `method` and `expires` (ISO
        8601, or None).
    """
    try:
        status = json.loads(await _output(installation, ("auth", "status"), environment, work))
        signed_in = bool(status["loggedIn"])
        expires = _to_datetime(status.get("loginExpiresAt"))
    except (ValueError, KeyError, TypeError):
        return {"state": "unknown"}
    expired = expires is not None and expires.timestamp() < time.time()
    return {
        "state": "expired" if expired else "signed_in" if signed_in else "signed_out",
        "method": status.get("authMethod"),
        "expires": None if expires is None else expires.isoformat(),
    }


async def _output(
    installation: Installation, arguments: tuple[str, ...], environment: Mapping[str, str], work: Path
) -> bytes:
    """Return what the command prints; empty if it cannot be run or does not end in time."""
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
        async with asyncio.timeout(_TIMEOUT):
            output, _ = await process.communicate()
            return output
    except TimeoutError:
        return b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _to_datetime(value: JSON) -> datetime | None:
    """Convert a number or an ISO 8601 time; None if the value is neither."""
    with contextlib.suppress(ValueError, OverflowError):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if value > _MIN_MILLISECONDS else value, UTC)
        if value:
            return datetime.fromisoformat(str(value)).astimezone(UTC)
    return None
