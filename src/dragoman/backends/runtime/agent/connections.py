"""Whether the servers of further tools came up.

A server that is missing would be missing in silence: the runtime leaves out what it cannot read or reach.
"""

import asyncio
from collections.abc import Iterable
from typing import cast

from dragoman.backends.runtime.agent.servers import PARAM
from dragoman.backends.runtime.session import Session
from dragoman.errors import InvalidRequest
from dragoman.messages import JSONObject

_PATIENCE = 30.0
_PAUSE = 0.05


async def connected(session: Session, names: Iterable[str]) -> None:
    """Wait for them to come up.

    Raises:
        InvalidRequest: One does not, and what the runtime says of it.
    """
    wanted = list(names)
    try:
        async with asyncio.timeout(_PATIENCE):
            while waiting := _not_yet(await session.control("mcp_status", {}), wanted):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        raise _failed(waiting[0], f"it did not answer within {_PATIENCE:g} seconds") from None


def _not_yet(status: JSONObject, wanted: Iterable[str]) -> list[str]:
    told = {str(server["name"]): server for server in cast("list[JSONObject]", status.get("mcpServers") or [])}
    waiting = []
    for name in wanted:
        match told.get(name, {}).get("status"):
            case "connected":
                pass
            case "pending":
                waiting.append(name)
            case "needs-auth":
                raise _failed(name, "it wants a sign-in, which nobody is here to make")
            case None:
                raise _failed(name, "Claude Code does not take it")
            case other:
                raise _failed(name, str(told[name].get("error") or other))
    return waiting


def _failed(name: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"The server `{name}` could not be had: {why}.", code="mcp_server_failed", param=f"{PARAM}.{name}"
    )
