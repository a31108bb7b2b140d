"""The settings of several upstreams: as tables and JSON, their keys, and errors."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from dragoman.config.loading import BadSettings, load
from dragoman.config.secrets import resolve_secrets
from dragoman.config.settings import Settings
from dragoman.wiring.checks import check_exposure, check_settings

LIST = """
fallback = true

[[upstreams]]
name = "main"
api_key = "sk-ant-one"
models = ["opus", "claude-haiku-*"]
daily_budget = 12.50

[[upstreams]]
name = "mine"
backend = "runtime"
signed_in = true
order = 9
"""
TABLES = """
[upstreams.main]
api_key = "sk-ant-one"
models = "opus, claude-haiku-*"
daily_budget = "12.50"

[upstreams.mine]
backend = "sdk"
signed_in = true
order = 9
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use an empty directory for files."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def from_toml(folder: Path, text: str) -> Settings:
    """Write a settings file and load it."""
    path = folder / "dragoman.toml"
    path.write_text(text, encoding="utf-8")
    return load({"config": path, "state_dir": folder / "state"}, env_file=None)


def settings_error(folder: Path, text: str) -> str:
    """Load and check settings that must be refused. Return the error's text."""
    with pytest.raises(BadSettings) as caught:
        check_settings(resolve_secrets(from_toml(folder, text)))
    return str(caught.value)


@pytest.mark.parametrize("text", [LIST, TABLES], ids=["list", "tables"])
def test_list_and_tables(tmp_path: Path, text: str) -> None:
    """A list of upstreams and a table for each upstream give the same settings."""
    main, mine = from_toml(tmp_path, text).upstreams
    assert (main.name, main.backend, main.models) == ("main", "api", ("opus", "claude-haiku-*"))
    assert main.api_key is not None
    assert main.api_key.get_secret_value() == "sk-ant-one"
    assert main.daily_budget == Decimal("12.5")
    assert (mine.name, mine.backend, mine.signed_in, mine.order) == ("mine", "runtime", True, 9)


def test_upstreams_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The upstreams can be set as JSON in one variable. Invalid JSON is refused."""
    tables = [{"name": "main", "api_key_env": "KEY_A"}, {"name": "other", "api_key_env": "KEY_B", "places": 2}]
    monkeypatch.setenv("DRAGOMAN_UPSTREAMS", json.dumps(tables))
    assert [upstream.name for upstream in load({}, env_file=None).upstreams] == ["main", "other"]
    monkeypatch.setenv("DRAGOMAN_UPSTREAMS", "[{")
    with pytest.raises(BadSettings, match=r"DRAGOMAN_UPSTREAMS.*not JSON"):
        load({}, env_file=None)


def test_sources_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upstream's key is a value, a variable or a file. Without a key the upstream uses the shared one."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-shared")
    monkeypatch.setenv("KEY_B", "sk-ant-b")
    (tmp_path / ".env").write_text("KEY_C=sk-ant-c\n", encoding="utf-8")
    (tmp_path / "key").write_text("sk-ant-d\n", encoding="utf-8")
    text = f"""
    [upstreams.a]
    api_key = "sk-ant-a"
    [upstreams.b]
    api_key_env = "KEY_B"
    [upstreams.c]
    auth_token_env = "KEY_C"
    [upstreams.d]
    api_key_file = "{tmp_path / "key"}"
    [upstreams.shared]
    """
    settings = resolve_secrets(from_toml(tmp_path, text))
    upstream_settings = [settings.for_upstream(upstream) for upstream in settings.upstreams]
    keys = [(one.anthropic_api_key, one.anthropic_auth_token) for one in upstream_settings]
    plain = [tuple(value.get_secret_value() if value else None for value in pair) for pair in keys]
    expected = [("a", None), ("b", None), (None, "c"), ("d", None), ("shared", None)]
    assert plain == [tuple(f"sk-ant-{part}" if part else None for part in pair) for pair in expected]
    assert "sk-ant" not in repr(settings)
    assert resolve_secrets(settings) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[upstreams.a]\nbackend='runtime'\nsigned_in=true\n[upstreams.b]\nbackend='runtime'\nsigned_in=true",
            "`a` and `b` are both signed in",
        ),
        ("[[upstreams]]\nname='a'\n[[upstreams]]\nname='a'", "two upstreams are called `a`"),
        ("[upstreams.a]\nsigned_in=true", 'write backend = "runtime"'),
        ("[upstreams.a]\nbackend='runtime'\nsigned_in=true\napi_key='k'", "signed_in and api_key are both set"),
        ("[upstreams.a]\napi_key='k'\napi_key_env='K'", "api_key and api_key_env are both set"),
        ("[upstreams.a]\napi_key_env='NO_SUCH_KEY'", "api_key_env names NO_SUCH_KEY, which is not set"),
        ("[upstreams.a]\napi_key_file='/no/such/file'", "/no/such/file cannot be read"),
        ("[upstreams.a]\nbackend='runtime'\nauth_token='t'", "the runtime takes a key"),
        ("[upstreams.a]\nbackend='runtime'\ncloud='bedrock'", 'cloud needs backend = "api"'),
        ("[upstreams.a]\ncloud='bedrock'\nproject='p'", 'project needs cloud = "vertex"'),
        ("[upstreams.a]\ncloud='vertex'\nprofile='p'", 'profile needs cloud = "bedrock"'),
        ("[upstreams.a]\ncloud='vertex'\napi_key='k'", "api_key has no use on vertex"),
        ("[upstreams.a]\ncloud='bedrock'\nauth_token='k'", "auth_token has no use on bedrock"),
        ("[upstreams.a]\nbackend='bedrock'", "write `--backend api --cloud bedrock`"),
        ("cloud='vertex'\n[upstreams.a]", "goes into the upstream on that cloud"),
        ("[upstreams.a]\nregion='us-east-1'", 'region needs cloud = "bedrock"'),
        ("[upstreams.a]\nkey='k'", "upstreams[0].key (DRAGOMAN_UPSTREAMS)"),
        ("[upstreams.a]\nplaces=0", "upstreams[0].places"),
        ("[upstreams.'a b']", "upstreams[0].name"),
        ("[upstreams]\na='x'", "write it as a table"),
        ("[upstreams.a]\napi_key='k'\nkeys=['bob']", "keys names `bob`, and there is no such key"),
        ("[upstreams.a]\napi_key='k'\nkeys=['key']", "set it, --api-key KEY"),
        ("signed_in=true\n[upstreams.a]\napi_key='k'", "goes into the upstream that is signed in"),
    ],
)
def test_invalid_upstreams(tmp_path: Path, text: str, message: str) -> None:
    """The gateway does not start, and the error says what is wrong and how to correct it."""
    assert message in settings_error(tmp_path, text)


def test_signed_in_upstream_is_not_for_other_machines(tmp_path: Path) -> None:
    """A gateway that other machines can reach may not have a signed-in upstream, even if it has a key."""
    settings = from_toml(tmp_path, f'host = "0.0.0.0"\napi_key = "k"\n{TABLES}')
    with pytest.raises(BadSettings, match="serves the account's owner alone"):
        check_exposure(settings)


def test_fallback_replaces_retries(tmp_path: Path) -> None:
    """With `fallback`, an upstream is not retried, because the next one is tried. An upstream's own value wins."""
    text = "fallback = {}\nretries = 3\n[upstreams.a]\napi_key='a'\n[upstreams.b]\napi_key='b'\nretries=1"
    for fallback, expected in (("true", [0, 1]), ("false", [3, 1])):
        settings = from_toml(tmp_path, text.format(fallback))
        assert [settings.for_upstream(upstream).retries for upstream in settings.upstreams] == expected
