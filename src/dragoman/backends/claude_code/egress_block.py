"""Keeping the runtime from asking the API again by itself.

Where an answer is cut, or calls a tool that was not offered, the runtime adds words of its own and calls again within
milliseconds. The process is killed before that; but a busy machine may come too late. So while an answer nears its
limit, or makes such a call, the process is told that the API is at an address where nobody is: settings hold from the
next call on, so the call under way is not touched.
"""

from collections.abc import Callable
from typing import cast

from dragoman.core.messages import JSONObject

_NOWHERE = "https://127.0.0.1:1"
"""Nothing is ever sent there: no key leaves before a TLS handshake, which nobody answers."""
_API = "https://api.anthropic.com"


class EgressBlock:
    """Whether a process can reach the API for its next call.

    Attributes:
        closed: Whether it cannot.
    """

    def __init__(self, tell: Callable[[JSONObject], None], base_url: str | None) -> None:
        """An open gate.

        Args:
            tell: Sends the process its settings.
            base_url: Where its API is; None: at the provider's.
        """
        self._tell = tell
        self._base_url = base_url or _API
        self.closed = False

    def close(self, settings: JSONObject) -> None:
        """Let no further call out. Idempotent."""
        if not self.closed:
            self.closed = True
            self._tell(_at(_NOWHERE, settings))

    def open(self, settings: JSONObject) -> None:
        """Let calls out again. Idempotent."""
        if self.closed:
            self._tell(self.opened(settings))

    def opened(self, settings: JSONObject) -> JSONObject:
        """The settings that open it, for a request that is sent anyway."""
        if not self.closed:
            return settings
        self.closed = False
        return _at(self._base_url, settings)


def _at(url: str, settings: JSONObject) -> JSONObject:
    return {**settings, "env": {**cast("JSONObject", settings.get("env") or {}), "ANTHROPIC_BASE_URL": url}}
