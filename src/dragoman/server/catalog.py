"""The catalog with the provider's live list in it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

import structlog

from dragoman.catalog import Catalog
from dragoman.errors import GatewayError
from dragoman.model_list import ListedModel, with_list

log = structlog.get_logger("dragoman.server")


class LiveCatalog:
    """The built-in catalog until the provider's list was had; then that, asked for again when it is old.

    Attributes:
        ttl: Seconds that a list is good for, and after a failure until the next try.
        patience: Seconds to wait for one.
    """

    def __init__(
        self,
        built_in: Catalog,
        listed: Callable[[], Awaitable[Iterable[ListedModel]]] | None = None,
        *,
        ttl: float = 300.0,
        patience: float = 5.0,
    ) -> None:
        self.ttl = ttl
        self.patience = patience
        self._built_in = built_in
        self._current = built_in
        self._listed = listed
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    def __call__(self) -> Catalog:
        """The catalog as it is known now."""
        return self._current

    async def refresh(self) -> bool:
        """Ask for the list if it is old, and say whether that was done. Never fails: the last one stands."""
        if self._listed is None or self._is_fresh():
            return False
        async with self._asking:
            if self._is_fresh():  # someone else has just asked
                return True
            try:
                async with asyncio.timeout(self.patience):
                    self._current = with_list(self._built_in, await self._listed())
            except (GatewayError, TimeoutError) as error:
                log.info("models.unlisted", reason=str(error) or "no answer in time")
            self._asked_at = time.monotonic()
            return True

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._asked_at < self.ttl
