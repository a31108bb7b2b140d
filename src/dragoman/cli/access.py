"""Keys, teams and the ledger in a state directory, for commands. A running gateway sees changes within a second."""

import asyncio
import getpass
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar
from zoneinfo import ZoneInfo

import click
from starlette.datastructures import QueryParams

from dragoman.config.loading import BadSettings
from dragoman.config.settings import Settings
from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.value_object import value_object
from dragoman.limits.rules import Scope
from dragoman.runs.metering import Meter
from dragoman.runs.policy import Clock
from dragoman.server.access import AccessBook
from dragoman.server.admin.access import state_view, usage_report
from dragoman.server.admin.access_changes import AccessChanges
from dragoman.stores.access import AccessStore
from dragoman.stores.ledger import SharedLimits
from dragoman.stores.sql.stores import Stores
from dragoman.wiring.state import access_options
from dragoman.wiring.stores import build_limits, build_redis, build_stores

_T = TypeVar("_T")


@value_object
class AccessFiles:
    """The opened files.

    Attributes:
        settings: The settings.
        stores: Where they come from.
        store: Keys and teams.
        ledger: What runs have used.
        changes: Makes changes.
    """

    settings: Settings
    stores: Stores
    store: AccessStore
    ledger: SharedLimits
    changes: AccessChanges

    async def use(self, scope: Scope) -> list[JSON]:
        """Return what is used of the limits and budgets of a scope."""
        book = AccessBook(self.store, access_options(self.settings))
        await book.refresh()
        zone = ZoneInfo(self.settings.time_zone)
        meter = Meter(self.ledger, book, None, clock=Clock(self.stores.ms, self.stores.clock, zone))
        return [state_view(state, zone) for state in await meter.states(scope)]

    async def usage(self, params: QueryParams) -> JSONObject:
        """Return sums of the ledger; see `dragoman.server.admin.access.usage_report`."""
        return await usage_report(self.ledger, params)


def with_access(settings: Settings, work: Callable[[AccessFiles], Awaitable[_T]], *, simulated: bool = False) -> _T:
    """Open the files of a state directory, do something, and close them.

    Args:
        settings: The settings.
        work: What to do.
        simulated: Whether to open the ledger of the simulator.

    Raises:
        ClickException: It cannot be done. The text says why.
    """

    async def run() -> _T:
        async with AsyncExitStack() as stack:
            stores = build_stores(settings)
            stack.push_async_callback(stores.aclose)
            if redis := build_redis(settings, simulated=simulated):
                stack.push_async_callback(redis.aclose)
            store, ledger = stores.access(), build_limits(settings, stores, redis, simulated=simulated)
            stack.push_async_callback(store.aclose)
            stack.push_async_callback(ledger.aclose)
            taken = frozenset(key.name for key in settings.keys)
            changes = AccessChanges(store, f"cli:{getpass.getuser()}", taken)
            return await work(AccessFiles(settings, stores, store, ledger, changes))

    try:
        return asyncio.run(run())
    except GatewayError as error:
        raise click.ClickException(error.message) from None
    except BadSettings as error:
        raise click.ClickException(str(error)) from None


def parse_model_limits(texts: tuple[str, ...]) -> dict[str, dict[str, object]]:
    """Return limits of single models, written as `opus:rpm=5,budget=2usd/day`.

    Raises:
        ClickException: One is written in another way.
    """
    models: dict[str, dict[str, object]] = {}
    for text in texts:
        name, _, rest = text.partition(":")
        fields = models.setdefault(name.strip(), {})
        for part in rest.split(","):
            key, is_given, value = (piece.strip() for piece in part.partition("="))
            if not name or not is_given or key not in {"rpm", "tpm", "concurrency", "budget"}:
                raise click.ClickException(f"`{text}` is not a limit of a model: write opus:rpm=5,budget=2usd/day")
            known = fields.get(key)
            fields[key] = [*known, value] if isinstance(known, list) else [value] if key == "budget" else value
    return models


def format_time(seconds: object) -> str:
    """Return a time in seconds since 1970 as a local date and time; `-` for none."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if isinstance(seconds, (int, float)) else "-"
