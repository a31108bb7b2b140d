"""`dragoman status`."""

import http.client
import json
from collections.abc import Iterator, Mapping

import click

from dragoman.cli.options import settings_from, settings_options
from dragoman.settings import Settings

_SECONDS = 5
_OK = 200


@click.command("status")
@settings_options(["host", "port", "api_key", "api_key_file", "config"])
@click.option("--json", "as_json", is_flag=True, help="Print the gateway's own answer.")
def command(*, as_json: bool, **flags: object) -> None:
    """Ask a running gateway how it is. Exit code 0: it would answer a question."""
    settings = settings_from(flags)
    status, answer = _ask(settings)
    click.echo(json.dumps(answer, indent=2) if as_json else "\n".join(_lines(answer)))
    raise SystemExit(0 if status == _OK else 1)


def _ask(settings: Settings) -> tuple[int, dict[str, object]]:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    key = {"x-api-key": settings.api_key.get_secret_value()} if settings.api_key else {}
    connection = http.client.HTTPConnection(host, settings.port, timeout=_SECONDS)
    try:
        connection.request("GET", "/health/ready", headers=key)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = "something else answers there" if isinstance(error, ValueError) else str(error)
        raise click.ClickException(
            f"No gateway answers at http://{host}:{settings.port} ({reason}). `dragoman serve` starts one; "
            "--host and --port say where to look."
        ) from None
    finally:
        connection.close()


def _lines(answer: Mapping[str, object], indent: str = "") -> Iterator[str]:
    for key, value in answer.items():
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _lines(value, indent + "  ")
        elif value is not None:
            yield f"{indent}{key}: {value}"
