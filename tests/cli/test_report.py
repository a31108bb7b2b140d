"""The report of `dragoman doctor --report`."""

import json
from pathlib import Path

import pytest

from dragoman.backends.claude_code.doctor.report import Finding
from dragoman.cli.report import write_report
from dragoman.config.loading import load


def test_what_an_issue_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has versions, settings, checks and the last failures, and no secret. Only its owner can read it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRAGOMAN_API_KEY", "a-secret-that-stays-secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-api03-abcdefghijklmnop")
    failed = {"event": "http.request", "level": "warning", "time": "t", "error": "overloaded", "message": "Busy."}
    events = [failed, failed | {"level": "info", "error": "usual"}, failed | {"error": "crashed", "exception": "words"}]
    lines = [*map(json.dumps, events), json.dumps(failed | {"message": "key sk-ant-api03-abcdefghijklmnop"}), "no JSON"]
    (tmp_path / "gateway-1.log").write_text("\n".join(lines))
    flags = {"state_dir": str(tmp_path), "run_timeout": "10m"}
    path = tmp_path / "report.md"
    path.write_text("an older one")
    write_report(path, load(flags), flags, [Finding("replay", ok=False, detail="it is refused")])
    text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    for words in ("dragoman 0.", "Python 3.", "run_timeout", "FAILED  replay: it is refused", "overloaded", "crashed"):
        assert words in text
    for words in ("stays-secret", "abcdefghijklmnop", "usual", '"words"', "an older one"):
        assert words not in text
