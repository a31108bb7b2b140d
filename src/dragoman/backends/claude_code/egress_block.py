"""Keeps the runtime from calling the API a second time for one request.

When a response is cut, or calls a tool that was not offered, the runtime adds a text of its own and calls the API again
within milliseconds. The gateway kills the process before that, but a busy machine may be too late. So while a response
nears its limit, or makes such a call, the gateway sets the API's address to one without a listener. Settings apply
from the next call on, so the current call is not affected.
"""

from collections.abc import Callable
from typing import cast

from dragoman.core.messages import JSONObject

_UNREACHABLE = "https://127.0.0.1:1"
"""The API key is never sent there: it leaves only after a TLS handshake, and nothing answers one."""
_DEFAULT_BASE_URL = "https://api.anthropic.com"


class EgressBlock:
    """Blocks the next API call of one process.

    Attributes:
        active: Whether the next call is blocked.
    """

    def __init__(self, apply: Callable[[JSONObject], None], base_url: str | None) -> None:
        """Prepare a block that is not active.

        Args:
            apply: Sends settings to the process, without waiting for an answer.
            base_url: The address of the API; None for the provider's own.
        """
        self._apply = apply
        self._base_url = base_url or _DEFAULT_BASE_URL
        self.active = False

    def activate(self, settings: JSONObject) -> None:
        """Block further calls. Idempotent."""
        if not self.active:
            self.active = True
            self._apply(_with_base_url(_UNREACHABLE, settings))

    def lift(self, settings: JSONObject) -> None:
        """Allow further calls. Idempotent."""
        if self.active:
            self._apply(self.lifted(settings))

    def lifted(self, settings: JSONObject) -> JSONObject:
        """Return settings that also lift the block, for a caller that sends them itself."""
        if not self.active:
            return settings
        self.active = False
        return _with_base_url(self._base_url, settings)


def _with_base_url(url: str, settings: JSONObject) -> JSONObject:
    return {**settings, "env": {**cast("JSONObject", settings.get("env") or {}), "ANTHROPIC_BASE_URL": url}}
