"""What takes a moment to find out, for the operator."""

import importlib.metadata
from collections.abc import Awaitable, Callable

from dragoman.backends.base import Inquires, Operated
from dragoman.messages import JSONObject


def inquiry_of(claude: Operated) -> Callable[[], Awaitable[JSONObject]]:
    """Asks the backend, if it has more to tell, and names the versions of what is installed."""
    versions: JSONObject = {"claude_agent_sdk": importlib.metadata.version("claude-agent-sdk")}

    async def inquire() -> JSONObject:
        return versions | (await claude.inquire() if isinstance(claude, Inquires) else {})

    return inquire
