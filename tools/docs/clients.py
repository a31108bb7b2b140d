"""`docs/clients.md`."""

from collections.abc import Iterator

from dragoman.cli.connect.client import Client, Target
from dragoman.cli.connect.libraries import CLIENTS

_HEAD = """\
# Settings of clients

What `dragoman connect CLIENT…` prints, for a gateway at `http://127.0.0.1:8787` without a key. The command itself
fills in the address of the gateway that runs, the model of `--model`, and how the key is given; `--raw` prints the file
alone, `--json` is for programs. Files are to be merged with what is there.
"""
_EXAMPLE = Target("http://127.0.0.1:8787", "sonnet", keyed=False, context=1_000_000, output=128_000)


def clients_page() -> str:
    """The text of the page."""
    return "\n".join([_HEAD, *(line for client in CLIENTS.values() for line in _section(client))])


def _section(client: Client) -> Iterator[str]:
    yield f"## {client.title.removeprefix('the ')}\n"
    yield f"`dragoman connect {client.name}`\n"
    for part in client.parts(_EXAMPLE):
        yield f"{f'`{part.where}`' if part.file else part.where.capitalize()}:\n"
        yield f"```{part.language}\n{part.text}\n```\n"
    if client.note:
        yield f"{client.note}\n"
