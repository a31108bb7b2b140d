"""The recorded runs of gateways that have ended. A module of its own because it imports the server."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar, cast

import click
from starlette.datastructures import QueryParams

from dragoman.config.loading import BadSettings
from dragoman.config.settings import Settings
from dragoman.core.errors import GatewayError
from dragoman.runs.records import RunRegistry
from dragoman.server.admin.endpoints import run_page
from dragoman.server.admin.follow import record_events
from dragoman.wiring.state import build_run_registry
from dragoman.wiring.stores import build_stores

_T = TypeVar("_T")


class PastRuns:
    """The run records in a state directory."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def page(self, **filters: object) -> dict[str, object]:
        """See `dragoman.cli.run_sources.RunSource.page`."""
        query = QueryParams([(name, str(value)) for name, value in filters.items() if value is not None])
        return cast("dict[str, object]", self._query(lambda registry: run_page(registry, query)))

    def events(self, id_: str) -> Iterator[tuple[str, dict[str, object]]]:
        """See `dragoman.cli.run_sources.RunSource.events`."""
        record = self._query(lambda registry: registry.get_ended(id_))
        return iter([(name, cast("dict[str, object]", data)) for name, data in record_events(record)])

    def _query(self, query: Callable[[RunRegistry], Awaitable[_T]]) -> _T:
        async def run() -> _T:
            stores = build_stores(self._settings)
            registry = build_run_registry(self._settings, stores)
            try:
                return await query(registry)
            finally:
                await registry.aclose()
                await stores.aclose()

        try:
            return asyncio.run(run())
        except GatewayError as error:
            raise click.ClickException(error.message) from None
        except BadSettings as error:
            raise click.ClickException(str(error)) from None
