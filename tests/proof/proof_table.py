"""The table of a proof, for the terminal and for the documentation."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from proof_phases import Backend, Options, PhaseResult
from proof_run import FAILURES, Finding, Tally

_MEANING = {
    "wrong": "not the scripted answer",
    "doubled": "a part of the answer twice",
    "silently cut": "an end without an error",
    "hung": "over the time limit",
    "malformed": "not as the dialect says",
    "refused": "an error without a cause",
    "key shown": "the gateway's key in a response",
    "calls": "not one API call and its counted retries",
    "log": "a traceback or an error in the log",
}
_MAX_SHOWN = 40
_MARK = "<!-- make proof: {} -->"


def has_failed(results: Iterable[PhaseResult]) -> bool:
    """Return whether any phase had a finding or a leak."""
    return any((result.tally and result.tally.findings) or result.leaks for result in results)


def table(results: Sequence[PhaseResult], backend: Backend) -> str:
    """Return the table in Markdown."""
    ran = [(result.name, result.tally) for result in results if result.tally is not None]
    rows = [["", *(name for name, _ in ran)], ["---"] * (len(ran) + 1)]
    rows += [["runs", *(str(tally.faults.total()) for _, tally in ran)]]
    rows += [["requests whose calls are counted", *(str(tally.requests) for _, tally in ran)]]
    rows += [["API calls", *(str(tally.calls) for _, tally in ran)]]
    rows += [["counted retries", *(str(tally.retries) for _, tally in ran)]]
    rows += [["right answers", *(str(tally.outcomes["answered"]) for _, tally in ran)]]
    rows += [["answers that are not judged", *(str(tally.outcomes["not judged"]) for _, tally in ran)]]
    rows += [["errors of the dialect", *(str(_errors(tally)) for _, tally in ran)]]
    rows += [["clients that left", *(str(tally.outcomes["client left"]) for _, tally in ran)]]
    rows += [["cut by a kill", *(str(tally.outcomes["cut by a kill"]) for _, tally in ran)]]
    rows += [["stored, read again at the end", *(str(tally.outcomes["stored, read again"]) for _, tally in ran)]]
    for kind in FAILURES:
        rows.append([f"**{kind}**: {_MEANING[kind]}", *(str(_count(tally, kind)) for _, tally in ran)])
    lines = [f"|{'|'.join(row)}|" if row[0] == "---" else f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *_leaks(results), "", _faults(ran), *_not_judged(backend), *_skipped(results)])


def findings(results: Iterable[PhaseResult], options: Options) -> str:
    """Return the findings, each with the command that repeats it."""
    lines = []
    for result in results:
        found: list[Finding] = result.tally.findings if result.tally else []
        for finding in found[:_MAX_SHOWN]:
            case = finding.case
            lines.append(f"{result.name}: {finding.kind}: {finding.detail}")
            if case:
                arguments = f"--backend {options.backend} --seed {case.seed} --only {case.number}"
                lines += [f"    {case}", f"    make proof ARGS='--phases {result.name} {arguments}'"]
        if len(found) > _MAX_SHOWN:
            kinds = Counter((finding.kind, finding.case.fault if finding.case else "") for finding in found)
            lines.append(f"{result.name}: {len(found)} findings: {dict(kinds)}")
    return "\n".join(lines)


def write_docs(page: Path, backend: str, text: str) -> None:
    """Write a backend's table into a page, between its marks.

    Raises:
        SystemExit: The page does not contain the marks.
    """
    start, end = _MARK.format(f"{backend} begins"), _MARK.format(f"{backend} ends")
    before, found, rest = page.read_text(encoding="utf-8").partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{page} does not contain the lines `{start}` and `{end}`.")
    page.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def _errors(tally: Tally) -> int:
    return sum(count for outcome, count in tally.outcomes.items() if outcome.startswith("error "))


def _count(tally: Tally, kind: str) -> int:
    return sum(finding.kind == kind for finding in tally.findings)


def _leaks(results: Iterable[PhaseResult]) -> list[str]:
    for result in results:
        if result.before and result.after:
            lines = [
                "| held by the idle gateway | at most in 3/4 of the runs; memory: at their end | at the end | |",
                "|---|---|---|---|",
            ]
            for name, before in vars(result.before).items():
                verdict = "**grew**" if name in result.leaks else "met"
                unit = " MiB" if name == "memory" else ""
                lines.append(f"| {name} | {before:.0f}{unit} | {getattr(result.after, name):.0f}{unit} | {verdict} |")
            return lines
    return []


def _faults(ran: Iterable[tuple[str, Tally]]) -> str:
    total = sum((tally.faults for _, tally in ran), Counter[str]())
    kinds = ", ".join(f"{kind} {count}" for kind, count in total.most_common())
    return f"Runs by the fault at the API: {kinds}."


def _not_judged(backend: Backend) -> list[str]:
    """Return what no gateway can see, and so is not judged here."""
    lines = ["Not judged: a delta that the API loses, doubles or moves. Nothing in the stream shows it."]
    if backend == "claude-code":
        utf8 = "The runtime replaces what it cannot decode by U+FFFD, which an answer may contain."
        late = "The runtime drops it, so to the gateway it is a lost one."
        lines += [
            f"Not judged: answers after *cut UTF-8*. {utf8}",
            f"Not judged: a delta after its block, or an event whose type is not a text. {late}",
        ]
    return [f"\n{line}" for line in lines]


def _skipped(results: Iterable[PhaseResult]) -> list[str]:
    return [f"\nNot run here: {result.name} ({result.skipped})." for result in results if result.skipped]
