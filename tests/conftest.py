"""Fixtures and settings of all tests: no real account, and a dummy token for a sign-in."""

import os
from pathlib import Path

import certifi
import pytest
from hypothesis import HealthCheck, settings

# On a busy machine no example fails because it is slow.
settings.register_profile("no_deadline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no_deadline")

pytest_plugins = ["simulator_fixtures", "engine_fixtures", "wheel_fixtures"]


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove a real account and settings of a gateway from the environment, and set a dummy sign-in."""
    settings_of_gateway = [name for name in os.environ if name.startswith("DRAGOMAN_")]
    account = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "CLAUDE_CONFIG_DIR")
    for name in (*settings_of_gateway, *account):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "dummy-token")


@pytest.fixture(scope="session")
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a single certificate authority."""
    end = "-----END CERTIFICATE-----\n"
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    path.write_text(Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def few_certificates(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, one_certificate: Path) -> None:
    """Trust a single certificate authority, except in containers, which download packages.

    Each HTTP client reads all authorities, also for plain HTTP. That was most of the time of most tests.
    """
    if "container" not in request.path.parts:
        monkeypatch.setenv("SSL_CERT_FILE", str(one_certificate))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest tests first, and leave property tests out of the coverage.

    A worker that builds an image waits for downloads; the other workers run everything else meanwhile. Coverage doubles
    the time of property tests, and other tests cover the same code.
    """
    items.sort(key=lambda item: "container" not in item.path.parts)
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.no_cover)
