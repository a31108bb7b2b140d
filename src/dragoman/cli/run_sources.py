"""Where the commands read runs from: a running gateway, or the records in the state directory."""

from collections.abc import Iterator, Mapping
from typing import Protocol, cast

import click

from dragoman.cli.gateway_http import GatewayHttp, path_segment
from dragoman.cli.select_instance import is_address_given
from dragoman.config.settings import Settings

_ID_LENGTH = len("run_") + 32


class RunSource(Protocol):
    """A list of runs and their events."""

    def page(self, **filters: object) -> dict[str, object]:
        """Return runs, newest first, in the format of `GET /admin/runs`.

        Raises:
            ClickException: The runs cannot be read.
        """
        ...

    def events(self, id_: str) -> Iterator[tuple[str, dict[str, object]]]:
        """Yield the events of a run, each with its name, in the format of `GET /admin/runs/{id}/events`.

        Raises:
            ClickException: The run does not exist, or it cannot be read.
        """
        ...


class LiveRuns:
    """The runs of a running gateway."""

    def __init__(self, gateway: GatewayHttp) -> None:
        self._gateway = gateway

    def page(self, **filters: object) -> dict[str, object]:
        """See `RunSource.page`."""
        return self._gateway.get("/admin/runs", **filters).require_ok()

    def events(self, id_: str) -> Iterator[tuple[str, dict[str, object]]]:
        """See `RunSource.events`."""
        return self._gateway.events(f"/admin/runs/{path_segment(id_)}/events")


def open_run_source(settings: Settings, flags: Mapping[str, object]) -> RunSource:
    """Return the runs of the selected gateway, or the recorded runs if no gateway is running.

    Raises:
        ClickException: Several gateways run, or the key file cannot be read.
    """
    gateway = GatewayHttp.select(settings, flags)
    path = settings.state_dir.expanduser() / "runs.db"
    if is_address_given(flags) or gateway.is_listening() or not path.exists():
        return LiveRuns(gateway)
    from dragoman.cli.past_runs import PastRuns  # noqa: PLC0415 - imports the server; not needed with a gateway

    click.echo(f"No gateway is running. These are the records in {path}.", err=True)
    return PastRuns(settings)


def complete_id(source: RunSource, given: str) -> str:
    """Return the run id that begins with the given text. `last` means the newest run.

    Raises:
        ClickException: No run matches, or several do.
    """
    if len(given) >= _ID_LENGTH:
        return given
    runs = cast("list[dict[str, object]]", source.page(limit=500)["runs"])
    ids = [str(run["id"]) for run in runs]
    matches = ids[:1] if given == "last" else [id_ for id_ in ids if id_.startswith((given, f"run_{given}"))]
    if not ids:
        raise click.ClickException("There are no runs yet.")
    if not matches:
        raise click.ClickException(f"There is no run `{given}`. Run `dragoman runs` to list the runs.")
    if len(matches) > 1:
        raise click.ClickException(f"Several runs begin with `{given}`: {', '.join(matches[:5])}. Give more of the id.")
    return matches[0]
