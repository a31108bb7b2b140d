"""The page itself: one table of what is the same for every model, one by family."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from dragoman.catalog import MODELS, Model
from dragoman.cli.pages.fields.effects import effect
from dragoman.cli.pages.fields.probes import PROBES, Probe

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "4.5": ("4.5",),
    "4.6 to 4.8": ("4.6", "4.7", "4.8"),
    "5": ("5",),
    "5.5": ("5.5",),
}
"""The columns, and the families of the catalog in each."""

_HEAD = """\
# Fields of a chat request

What becomes of every field of `POST /v1/chat/completions`. This page is written by asking the gateway's own decoder
about each value below, for each model (`make docs`); a test keeps it current.

- *sends* names the fields of the Messages API, with what was sent in them.
- *warning* is a code in the answer's `x-dragoman-warnings` header; the log has the sentence that goes with it.
- 400 and its code are the answer where a request without the field would be answered wrongly.
- *nothing to do* means that the value is what happens anyway.

What the Claude Code runtime then does with the request is in [fidelity.md](fidelity.md), and the switches that turn
warnings into refusals are in [settings.md](settings.md).
"""


def chat_fields_page() -> str:
    """The text of `docs/chat-fields.md`."""
    openai = [probe for probe in PROBES if not probe.own]
    own = [probe for probe in PROBES if probe.own]
    return "\n".join(
        [_HEAD, *_section("OpenAI's fields", openai), *_section("Beside OpenAI's: the gateway's own", own)]
    )


def _section(title: str, probes: Iterable[Probe]) -> Iterator[str]:
    cells = {probe: _cells(probe) for probe in probes}
    alike = {probe: found[0] for probe, found in cells.items() if len(set(found)) == 1}
    yield f"## {title}\n"
    yield "The same for every model:\n"
    yield "| field | value | what happens |"
    yield "|---|---|---|"
    for probe, cell in alike.items():
        yield f"| `{probe.name}` | {_value(probe)} | {cell} |"
    yield "\nBy model family:\n"
    yield f"| field | value | {' | '.join(FAMILIES)} |"
    yield f"|---|---|{'---|' * len(FAMILIES)}"
    for probe, found in cells.items():
        if probe not in alike:
            yield f"| `{probe.name}` | {_value(probe)} | {' | '.join(found)} |"
    yield ""


def _cells(probe: Probe) -> list[str]:
    return [_cell(probe, [model for model in MODELS if model.family in known]) for known in FAMILIES.values()]


def _cell(probe: Probe, models: Iterable[Model]) -> str:
    """What happens on the models of a column, each with its models where they differ."""
    found: dict[str, list[str]] = {}
    for model in models:
        found.setdefault(effect(probe, model), []).append(model.name.removeprefix("Claude "))
    if len(found) == 1:
        return next(iter(found))
    return "<br>".join(f"{', '.join(names)}: {words}" for words, names in found.items())


def _value(probe: Probe) -> str:
    return probe.shown or f"`{msgspec.json.encode(probe.value).decode()}`"
