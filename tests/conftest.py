"""What all tests stand on: no account of anybody's, and a dummy token where a sign-in is wanted."""

import pytest
from hypothesis import HealthCheck, settings

# A busy machine takes its time: no example fails, and no strategy is called slow, because of that.
settings.register_profile("whenever", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("whenever")

pytest_plugins = ["simulator_fixtures"]


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees a real account; those that want a sign-in get a dummy one."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "CLAUDE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "dummy-token")
