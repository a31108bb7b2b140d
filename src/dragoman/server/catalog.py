"""The model catalog: the built-in list, merged with the provider's live list."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from dragoman.core import log
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError
from dragoman.core.model_list import ListedModel, with_list
from dragoman.core.value_object import replace

MayUse: TypeAlias = Callable[[str, str], bool]
"""Returns whether a client, the first argument, may use a model, the second."""


def allow_all(client: str, model: str) -> bool:  # noqa: ARG001 - a `MayUse`
    """Allow every model to every client."""
    return True


class LiveCatalog:
    """The built-in catalog, merged with the provider's list once that is known.

    Args:
        built_in: The built-in catalog.
        fetch_list: Requests the provider's list; None: use only the built-in catalog.
        may_use: Whether a client may use a model.
        ttl: See below.
        timeout: See below.

    Attributes:
        ttl: Seconds before the list is requested again, after a success and after a failure.
        timeout: Seconds to wait for the list.
    """

    def __init__(
        self,
        built_in: Catalog,
        fetch_list: Callable[[], Awaitable[Iterable[ListedModel]]] | None = None,
        may_use: MayUse = allow_all,
        *,
        ttl: float = 300.0,
        timeout: float = 5.0,
    ) -> None:
        self.ttl = ttl
        self.timeout = timeout
        self._built_in = built_in
        self._current = built_in
        self._fetch_list = fetch_list
        self._may_use = may_use
        self._refreshed_at = float("-inf")
        self._refresh_lock = asyncio.Lock()

    def __call__(self) -> Catalog:
        """Return the current catalog."""
        return self._current

    def for_client(self, client: str) -> Catalog:
        """Return the catalog with only the models that a client may use."""
        models = tuple(model for model in self._current.models if self._may_use(client, model.id))
        return replace(self._current, models=models)

    async def refresh(self) -> bool:
        """Request the list if it is old, and return whether it was requested. Keep the last list after a failure."""
        if self._fetch_list is None or self._is_fresh():
            return False
        async with self._refresh_lock:
            if self._is_fresh():  # another task refreshed it meanwhile
                return True
            try:
                async with asyncio.timeout(self.timeout):
                    self._current = with_list(self._built_in, await self._fetch_list())
            except (GatewayError, TimeoutError) as error:
                log.info("models.unlisted", reason=str(error) or "no answer in time")
            self._refreshed_at = time.monotonic()
            return True

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._refreshed_at < self.ttl
