"""Where the runs are that a command shows: at a running gateway, or in the records of those that ran."""

from collections.abc import Iterator, Mapping
from typing import Protocol

import click

from dragoman.cli.gateway_http import GatewayHttp, segment, succeeded
from dragoman.config.settings import Settings


class RunSource(Protocol):
    """What knows of runs."""

    def page(self, **filters: object) -> dict[str, object]:
        """Runs, the newest first, as `GET /admin/runs` answers.

        Raises:
            ClickException: They cannot be had.
        """
        ...

    def events(self, id_: str) -> Iterator[tuple[str, dict[str, object]]]:
        """What happens in a run, as `GET /admin/runs/{id}/events` tells it: each event with its name.

        Raises:
            ClickException: There is no such run, or it cannot be had.
        """
        ...


class LiveRuns:
    """The runs of a gateway that runs."""

    def __init__(self, gateway: GatewayHttp) -> None:
        self._gateway = gateway

    def page(self, **filters: object) -> dict[str, object]:
        """See `RunSource.page`."""
        return succeeded(self._gateway.get("/admin/runs", **filters))

    def events(self, id_: str) -> Iterator[tuple[str, dict[str, object]]]:
        """See `RunSource.events`."""
        return self._gateway.events(f"/admin/runs/{segment(id_)}/events")


def runs_of(settings: Settings, flags: Mapping[str, object]) -> RunSource:
    """Those of the gateway that is meant; where none runs and none was named, the records that are left.

    Raises:
        ClickException: Several gateways run, or the key cannot be read.
    """
    gateway = GatewayHttp.found(settings, flags)
    path = settings.state_dir.expanduser() / "runs.db"
    if flags.get("port") or flags.get("host") or gateway.listens() or not path.exists():
        return LiveRuns(gateway)
    from dragoman.cli.past_runs import PastRuns  # noqa: PLC0415 - seldom wanted, and the others should be quick

    click.echo(f"No gateway runs: these are the records of {path}.", err=True)
    return PastRuns(settings)
