"""Settings: sources, precedence, errors and generated files."""

import re
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, reset_tzpath

import pytest
from setting_values import FROM_FILES, written

from dragoman.cli.options import format_default
from dragoman.config.loading import BadSettings, flag, is_duration, load, setting_info, variables
from dragoman.config.settings import Settings
from dragoman.config.values import check_time_zone, format_duration, point_in_time
from tools.docs.reference import env_example, settings_page, write

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "settings.md"

ROW = re.compile(r"\| `(?P<name>\w+)` \| (?P<flags>[^|]+) \| (?P<variables>[^|]+) \| (?P<default>[^|]+) \| .+ \|")
ROWS = [match.groupdict() for match in map(ROW.fullmatch, DOCS.read_text(encoding="utf-8").splitlines()) if match]

PLAIN = [row["name"] for row in ROWS if row["name"] not in FROM_FILES]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove all variables of settings, and use an empty directory for files."""
    for name in Settings.model_fields:
        for variable in variables(name):
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def plain_value(settings: Settings, name: str) -> object:
    """Return the value of a setting, with a secret as plain text."""
    value = getattr(settings, name)
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


def test_table_is_complete() -> None:
    """The table of the docs has a row for each setting, in order, and no other row."""
    assert [row["name"] for row in ROWS] == list(Settings.model_fields)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_table_is_correct(row: dict[str, str]) -> None:
    """The flags, variables and defaults of each row are those of the setting."""
    name = row["name"]
    assert re.findall("`([^`]+)`", row["flags"]) == [part for part in (flag(name), setting_info(name).short) if part]
    assert tuple(re.findall("`([^`]+)`", row["variables"])) == variables(name)
    assert row["default"].strip("`") in {format_default(name), format_default(name).strip("`")}


@pytest.mark.parametrize("name", PLAIN)
def test_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting can be given by each of its variables."""
    text, value = written(name)
    for variable in variables(name):
        with monkeypatch.context() as patch:
            patch.setenv(variable, text)
            assert plain_value(load({}), name) == value


@pytest.mark.parametrize("name", PLAIN)
def test_env_file(name: str, tmp_path: Path) -> None:
    """Each setting can be set in `.env`."""
    text, value = written(name)
    (tmp_path / ".env").write_text(f"{variables(name)[0]}='{text}'\n")
    assert plain_value(load({}), name) == value


@pytest.mark.parametrize("name", PLAIN)
def test_toml(name: str, tmp_path: Path) -> None:
    """Each setting can be set in a TOML file by its name. Underscores may be written as hyphens."""
    text, value = written(name)
    (tmp_path / "my.toml").write_text(f'{name.replace("_", "-")} = "{text}"\n')
    assert plain_value(load({"config": "my.toml"}), name) == value


@pytest.mark.parametrize("name", PLAIN)
def test_precedence(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The order is flag, variable, fallback variable, `.env`, TOML, default. An earlier source hides later ones."""
    text, value = written(name)
    hidden = "false" if value is True else "garbage, not even valid"
    primary, *fallback = variables(name)
    sources = ["flag", primary, *fallback, ".env", "toml"]
    for index, winner in enumerate(sources):
        with monkeypatch.context() as patch:
            values = {source: text if source == winner else hidden for source in sources[index:]}
            for variable in variables(name):
                if variable in values:
                    patch.setenv(variable, values[variable])
            (tmp_path / ".env").write_text(f"{primary}='{values['.env']}'\n" if ".env" in values else "")
            (tmp_path / "my.toml").write_text(f'{name} = "{values["toml"]}"\n')
            flags = {"config": "my.toml"} | ({name: values["flag"]} if "flag" in values else {})
            assert plain_value(load(flags), name) == value, winner


def test_defaults() -> None:
    """By default the gateway listens on loopback, without a key."""
    settings = load({})
    assert (settings.host, settings.port, settings.api_key) == ("127.0.0.1", 8787, None)
    assert settings.max_request_bytes == 32 * 2**20
    assert settings.state_dir.name == "dragoman"


def test_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with an empty value is ignored: compose files pass variables on that are not set."""
    monkeypatch.setenv("DRAGOMAN_API_KEY", "")
    monkeypatch.setenv("DRAGOMAN_PORT", "")
    monkeypatch.setenv("PORT", "9001")
    assert load({}).api_key is None
    assert load({}).port == 9001


def test_settings_file_in_the_default_location(tmp_path: Path) -> None:
    """The file in the configuration directory is read if no other file is named."""
    (tmp_path / "config" / "dragoman").mkdir(parents=True)
    (tmp_path / "config" / "dragoman" / "dragoman.toml").write_text("port = 9002\n")
    assert load({}).port == 9002


def test_settings_file_named_by_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file can be named by a variable or in `.env`. The variable wins."""
    (tmp_path / "a.toml").write_text("port = 9003\n")
    (tmp_path / "b.toml").write_text("port = 9004\n")
    (tmp_path / ".env").write_text("DRAGOMAN_CONFIG=b.toml\n")
    assert load({}).port == 9004
    monkeypatch.setenv("DRAGOMAN_CONFIG", "a.toml")
    assert load({}).port == 9003


def test_table_of_models_in_toml(tmp_path: Path) -> None:
    """The settings of models can be written as the table `models`."""
    (tmp_path / "my.toml").write_text(
        '[models]\ndefault = "opus"\nlist = ["opus", "haiku"]\naliases = { "gpt-4o" = "opus" }\n'
    )
    settings = load({"config": "my.toml"})
    assert settings.default_model == "opus"
    assert settings.models == ("opus", "haiku")
    assert settings.model_aliases == {"gpt-4o": "opus"}


def test_aliases_as_json() -> None:
    """Aliases can be written as JSON, so that names can contain commas and equal signs."""
    assert load({"model_aliases": '{"a=b": "haiku"}'}).model_aliases == {"a=b": "haiku"}


def test_key_from_a_file(tmp_path: Path) -> None:
    """The key can be in a file, because container platforms provide secrets as files. The newline is removed."""
    (tmp_path / "key").write_text("secret\n")
    key = load({"api_key_file": "key"}).api_key
    assert key is not None
    assert key.get_secret_value() == "secret"


DURATIONS = {"90": 90.0, "0.5": 0.5, "90s": 90.0, "10m": 600.0, "1h30m": 5400.0, "30d": 2_592_000.0}


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if is_duration(name)])
def test_durations(name: str) -> None:
    """Each setting in seconds takes a number or units, and is shown in the largest unit."""
    assert {text: getattr(load({name: text}), name) for text in DURATIONS} == DURATIONS
    assert [format_duration(value) for value in DURATIONS.values()] == ["90s", "0.5s", "90s", "10m", "90m", "30d"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"port": "many"}, "port (--port, DRAGOMAN_PORT, PORT): "),
        ({"port": "70000"}, "port (--port, DRAGOMAN_PORT, PORT): write 65535 or less"),
        ({"run_timeout": "-1"}, "run_timeout (--run-timeout, DRAGOMAN_RUN_TIMEOUT): write a number above 0"),
        ({"live_ttl": "5x"}, "live_ttl (--live-ttl, DRAGOMAN_LIVE_TTL): write a number of seconds, or a time such as"),
        ({"cache_ttl": "2h"}, "cache_ttl (--cache-ttl, DRAGOMAN_CACHE_TTL): write `5m`, `1h` or `off`"),
        ({"config": "typed.toml"}, "port (--port, DRAGOMAN_PORT, PORT) in typed.toml: write a whole number"),
        ({"config": "typed.toml"}, "store (--store, DRAGOMAN_STORE) in typed.toml: write `true` or `false`"),
        ({"config": "typed.toml"}, "keys[0].concurrency (DRAGOMAN_KEYS) in typed.toml: write 1 or more"),
        ({"config": "typed.toml"}, "keys[0].nam (DRAGOMAN_KEYS) in typed.toml: there is no such setting"),
        ({"backend": "bedrock"}, "--backend api --cloud bedrock"),
        ({"backend": "other"}, "backend (--backend"),
        ({"log_level": "loud"}, "log_level (--log-level"),
        ({"model_aliases": "fast"}, "model_aliases (--model-aliases, DRAGOMAN_MODEL_ALIASES): write it as"),
        ({"model_aliases": "{"}, "model_aliases (--model-aliases"),
        ({"api_key_file": "gone"}, "api_key_file (--api-key-file): gone cannot be read"),
        ({"api_key_file": "empty"}, "empty is empty"),
        ({"api_key_file": "binary"}, "binary cannot be read: it is not text"),
        ({"api_key_file": "empty", "api_key": "hush"}, "choose one"),
        ({"config": "gone.toml"}, "config (--config, DRAGOMAN_CONFIG): gone.toml cannot be read"),
        ({"config": "bad.toml"}, "config (--config, DRAGOMAN_CONFIG): bad.toml cannot be read"),
        ({"config": "unknown.toml"}, "prot in unknown.toml: there is no such setting; did you mean port?"),
        ({"config": "models.toml"}, "models.alias in models.toml: there is no such setting"),
    ],
)
def test_invalid_settings(flags: dict[str, object], message: str, tmp_path: Path) -> None:
    """The error names the setting and its sources, and contains no secret."""
    (tmp_path / "empty").write_text("")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "bad.toml").write_text("port = = 1")
    (tmp_path / "typed.toml").write_text(
        'port = "x"\nstore = "si"\n[keys.a]\napi_key = "hush"\nconcurrency = 0\nnam = 1'
    )
    (tmp_path / "unknown.toml").write_text("prot = 1")
    (tmp_path / "models.toml").write_text('[models]\nalias = {}\nlist = ["opus"]')
    with pytest.raises(BadSettings) as caught:
        load(flags)
    assert message in str(caught.value)
    assert "hush" not in str(caught.value)


def test_secrets_are_not_in_repr() -> None:
    """Settings can be printed or logged without their secrets."""
    settings = load({"api_key": "hush", "anthropic_api_key": "hush"})
    assert "hush" not in f"{settings!r} {settings}"


def test_generated_files_are_current(tmp_path: Path) -> None:
    """`docs/settings.md` and `.env.example` are what `make docs` generates."""
    assert DOCS.read_text(encoding="utf-8") == settings_page()
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_example()
    write(tmp_path)
    assert (tmp_path / "docs" / "settings.md").read_text(encoding="utf-8") == settings_page()


def test_env_example_is_valid(tmp_path: Path) -> None:
    """Each line without its comment mark sets a setting to its default."""
    lines = [line[1:] for line in env_example().splitlines() if re.match(r"#[A-Z_]+=", line)]
    (tmp_path / ".env").write_text("\n".join(lines))
    assert len(lines) == len(Settings.model_fields)
    assert load({}) == load({}, env_file=None)


def test_time_zones_need_no_files_of_the_system() -> None:
    """Small containers have none. `UTC`, the default, and all others are known nevertheless."""
    reset_tzpath(to=[])
    ZoneInfo.clear_cache()
    try:
        assert [check_time_zone(name) for name in ("UTC", "Europe/Berlin")] == ["UTC", "Europe/Berlin"]
    finally:
        reset_tzpath()
        ZoneInfo.clear_cache()


def test_days_by_name_begin_at_midnight() -> None:
    """Like dates, by the clock of this machine."""
    before = date.today()  # noqa: DTZ011 - local, as dates are
    named = [point_in_time("yesterday"), point_in_time("today")]
    after = date.today()  # noqa: DTZ011
    dates = [[point_in_time(str(day - timedelta(1))), point_in_time(str(day))] for day in (before, after)]
    assert named in dates or named == [dates[0][0], dates[1][1]]
