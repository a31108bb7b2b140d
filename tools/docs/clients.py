"""Write `docs/clients.md`: the configuration that `dragoman connect` prints for each client."""

from collections.abc import Iterator

from dragoman.cli.connect import CLIENTS
from dragoman.cli.connect.client import Client, Target

_HEAD = """\
# Client settings

What `dragoman connect CLIENT` prints for a gateway at `http://127.0.0.1:8787` without a key. The command fills in the
address of the running gateway, the model from `--model`, and how the client gets the key. `--raw` prints only the file,
and `--json` prints JSON for programs. Merge the files with what is already there.
"""
_EXAMPLE = Target("http://127.0.0.1:8787", "sonnet", needs_key=False, context=1_000_000, output=128_000)


def clients_page() -> str:
    """Return the text of the page."""
    return "\n".join([_HEAD, *(line for client in CLIENTS.values() for line in _section(client))])


def _section(client: Client) -> Iterator[str]:
    yield f"## {client.title.removeprefix('the ')}\n"
    yield f"`dragoman connect {client.name}`\n"
    for part in client.parts(_EXAMPLE):
        yield f"{f'`{part.where}`' if part.file else part.where.capitalize()}:\n"
        yield f"```{part.language}\n{part.text}\n```\n"
    if client.note:
        yield f"{client.note}\n"
