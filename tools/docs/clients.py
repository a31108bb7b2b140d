"""Write `docs/clients.md`: the configuration that `dragoman connect` prints for each client, and what was tried."""

from collections.abc import Iterator
from pathlib import Path

from dragoman.cli.connect import CLIENTS
from dragoman.cli.connect.client import Client, Target
from tools.docs.compatibility import RESULTS, compatibility_section, read_results

_HEAD = """\
# Client settings

What `dragoman connect CLIENT` prints for a gateway at `http://127.0.0.1:8787` without a key. The command fills in the
address of the running gateway, the model from `--model`, and how the client gets the key. `--raw` prints only the file,
and `--json` prints JSON for programs. Merge the files with what is already there.
"""
_REPOSITORY = Path(__file__).parents[2]
_EXAMPLE = Target("http://127.0.0.1:8787", "sonnet", needs_key=False, context=1_000_000, output=128_000)


def clients_page() -> str:
    """Return the text of the page."""
    sections = (line for client in CLIENTS.values() for line in _section(client))
    return "\n".join([_HEAD, *compatibility_section(read_results(_REPOSITORY / RESULTS)), *sections])


def _section(client: Client) -> Iterator[str]:
    yield f"## {client.title.removeprefix('the ')}\n"
    yield f"`dragoman connect {client.name}`\n"
    for part in client.parts(_EXAMPLE):
        yield f"{f'`{part.where}`' if part.file else part.where.capitalize()}:\n"
        yield f"```{part.language}\n{part.text}\n```\n"
    if client.note:
        yield f"{client.note}\n"
