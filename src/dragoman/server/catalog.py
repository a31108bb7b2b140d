"""The catalog with the provider's live list in it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

import structlog

from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError
from dragoman.core.model_list import ListedModel, with_list

Serves: TypeAlias = Callable[[str, str], bool]

log = structlog.get_logger("dragoman.server")


def everything(client: str, model: str) -> bool:  # noqa: ARG001 - one of those that tell who is served what
    """Each client is served each model."""
    return True


class LiveCatalog:
    """The built-in catalog until the provider's list was had; then that, asked for again when it is old.

    Args:
        built_in: The built-in one.
        listed: Asks for the list; None: the built-in one stands.
        serves: Whether a client, the first word, is served a model, the second.
        ttl: See below.
        patience: See below.

    Attributes:
        ttl: Seconds that a list is good for, and after a failure until the next try.
        patience: Seconds to wait for one.
    """

    def __init__(
        self,
        built_in: Catalog,
        listed: Callable[[], Awaitable[Iterable[ListedModel]]] | None = None,
        serves: Serves = everything,
        *,
        ttl: float = 300.0,
        patience: float = 5.0,
    ) -> None:
        self.ttl = ttl
        self.patience = patience
        self._built_in = built_in
        self._current = built_in
        self._listed = listed
        self._serves = serves
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    def __call__(self) -> Catalog:
        """The catalog as it is known now."""
        return self._current

    def of(self, client: str) -> Catalog:
        """The part of it that a client is served."""
        served = tuple(model for model in self._current.models if self._serves(client, model.id))
        return replace(self._current, models=served)

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
