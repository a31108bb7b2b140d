"""Runs of gateways that are gone, by the records that they left."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar, cast

import click
from starlette.datastructures import QueryParams

from dragoman.bootstrap import journal_for
from dragoman.errors import GatewayError
from dragoman.runs.journal import Journal
from dragoman.server.admin import page_of, told_of
from dragoman.settings import Settings

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

    def _asked(self, ask: Callable[[Journal], Awaitable[_T]]) -> _T:
        async def once() -> _T:
            journal = journal_for(self._settings)
            try:
                return await ask(journal)
            finally:
                await journal.aclose()

        try:
            return asyncio.run(once())
        except GatewayError as error:
            raise click.ClickException(error.message) from None
