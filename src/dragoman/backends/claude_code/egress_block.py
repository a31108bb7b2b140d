"""Keeps the runtime from calling the API a second time for one request.

When a response is cut, breaks off, is refused by the model, or calls a tool that was not offered, the runtime adds a
text of its own and calls the API again within milliseconds. The gateway kills the process before that, but a busy
machine may be too late. So while a response is generated, the gateway sets the API's address to one without a listener.
Settings apply from the next call on, so the current call is not affected.

The runtime takes some 7 ms of processor time for each change of its settings. So the block comes shortly after the
first token, and only for a response that lasts: the first token is not delayed, and the runtime waits for tokens then.
It is lifted when the response has ended, not when the next request comes.
"""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

from dragoman.core.messages import JSON, JSONObject

_UNREACHABLE = "https://127.0.0.1:1"
"""The API key is never sent there: it leaves only after a TLS handshake, and nothing answers one."""
_DEFAULT_BASE_URL = "https://api.anthropic.com"
_DELAY = 0.05
"""Seconds from the first token to the block. A response that ends sooner would end before the block, too."""
_NOTHING_ELSE: Mapping[str, JSON] = MappingProxyType({})


class EgressBlock:
    """Blocks the next API call of one process.

    Attributes:
        active: Whether the next call is blocked.
    """

    def __init__(self, apply: Callable[[JSONObject], object], base_url: str | None) -> None:
        """Prepare a block that is not active.

        Args:
            apply: Sends settings to the process, without waiting for an answer.
            base_url: The address of the API; None for the provider's own.
        """
        self._apply = apply
        self._base_url = base_url or _DEFAULT_BASE_URL
        self._timer: asyncio.TimerHandle | None = None
        self.active = False

    def activate(self, settings: Mapping[str, JSON] = _NOTHING_ELSE) -> None:
        """Block further calls. Idempotent.

        Args:
            settings: What to set in the same step.
        """
        self.cancel()
        if not self.active:
            self.active = True
            self._apply(_with_base_url(_UNREACHABLE, settings))

    def activate_soon(self) -> None:
        """Block further calls after `_DELAY`, unless the block is lifted or cancelled before. Idempotent."""
        if not self.active and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self.activate)

    def lift(self) -> None:
        """Allow further calls. Idempotent."""
        self.cancel()
        if self.active:
            self._apply(self.lifted(_NOTHING_ELSE))

    def lifted(self, settings: Mapping[str, JSON]) -> JSONObject:
        """Return settings that also lift the block, for a caller that sends them itself."""
        self.cancel()
        if not self.active:
            return {**settings}
        self.active = False
        return _with_base_url(self._base_url, settings)

    def cancel(self) -> None:
        """Forget what `activate_soon` has planned. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _with_base_url(url: str, settings: Mapping[str, JSON]) -> JSONObject:
    return {**settings, "env": {**cast("JSONObject", settings.get("env") or {}), "ANTHROPIC_BASE_URL": url}}
