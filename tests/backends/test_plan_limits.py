"""The limits of the operator's plan: what the official runtime reports, and nothing else."""

from pathlib import Path

import pytest
from backend_harness import runtime, user

from dragoman.backends.claude_code.plan_limits import PlanLimits
from dragoman.core.messages import JSON

INFO: JSON = {
    "status": "allowed_warning",
    "resetsAt": 1_795_913_166,
    "rateLimitType": "five_hour",
    "utilization": 0.91,
    "unifiedWindows": {
        "five_hour": {"utilization": 0.91, "resetsAt": 1_795_913_166, "status": "allowed_warning"},
        "seven_day": {"utilization": 0.2, "resetsAt": 1_796_013_165, "status": "allowed"},
    },
}


def test_what_the_runtime_reports() -> None:
    """Each window has its used share and its end. The newest report replaces the one before."""
    limits = PlanLimits(lambda: 1000.0)
    assert limits.report() is None
    limits.note({"status": "rejected", "rateLimitType": "overage", "resetsAt": 5})
    assert limits.report() == {
        "status": "rejected",
        "reported": 1000.0,
        "windows": [{"name": "overage", "status": "rejected", "used": None, "resets": 5}],
    }
    limits.note(INFO)
    assert limits.report() == {
        "status": "allowed_warning",
        "reported": 1000.0,
        "windows": [
            {"name": "five_hour", "status": "allowed_warning", "used": 0.91, "resets": 1_795_913_166},
            {"name": "seven_day", "status": "allowed", "used": 0.2, "resets": 1_796_013_165},
        ],
    }


@pytest.mark.parametrize("info", [None, [], "allowed", {"unifiedWindows": {"five_hour": 1}, "utilization": "much"}])
def test_unexpected_reports(info: JSON) -> None:
    """What has another form than expected is left out, and ends no process."""
    limits = PlanLimits()
    limits.note(info)
    assert (limits.report() or {"windows": []})["windows"] == []


@pytest.mark.parametrize("signed_in", [False, True], ids=["key", "signed-in"])
async def test_limits_by_the_real_runtime(tmp_path: Path, *, signed_in: bool) -> None:
    """A signed-in runtime reports the plan's limits with its first response. With a key there is no plan."""
    async with runtime(tmp_path, signed_in=signed_in) as harness:
        before = harness.backend.status()
        await harness.ask([user("Reply with exactly: PONG")])
        answer = await harness.ask([user("Reply with exactly: PING")])
        status = harness.backend.status()
    assert answer.text == "PING"
    if not signed_in:
        assert "plan" not in before | status
        return
    assert before["plan"] is None
    plan = status["plan"]
    assert isinstance(plan, dict)
    windows = plan["windows"]
    assert isinstance(windows, list)
    assert [(one["name"], one["used"]) for one in windows if isinstance(one, dict)] == [
        ("five_hour", 0.42),
        ("seven_day", 0.17),
    ]
