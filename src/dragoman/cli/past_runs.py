"""Runs of gateways that are gone, by the records that they left."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar, cast

import click
from starlette.datastructures import QueryParams

from dragoman.config.settings import Settings
from dragoman.core.errors import GatewayError
from dragoman.runs.records import RunRegistry
from dragoman.server.admin.endpoints import page_of
from dragoman.server.admin.follow import told_of
from dragoman.wiring.gateway import build_run_registry

_T = TypeVar("_T")


class PastRuns:
    """The records in a state directory whose gateways are gone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def page(self, **filters: object) -> dict[str, object]:
        """See `dragoman.cli.run_sources.RunSource.page`."""
        query = QueryParams([(name, str(value)) for name, value in filters.items() if value is not None])
        return cast("dict[str, object]", self._asked(lambda journal: page_of(journal, query)))

    def events(self, id_: str) -> Iterator[tuple[str, dict[str, object]]]:
        """See `dragoman.cli.run_sources.RunSource.events`."""
        record = self._asked(lambda journal: journal.over(id_))
        return iter([(name, cast("dict[str, object]", data)) for name, data in told_of(record)])

    def _asked(self, ask: Callable[[RunRegistry], Awaitable[_T]]) -> _T:
        async def once() -> _T:
            journal = build_run_registry(self._settings)
            try:
                return await ask(journal)
            finally:
                await journal.aclose()

        try:
            return asyncio.run(once())
        except GatewayError as error:
            raise click.ClickException(error.message) from None
