"""`dragoman config`, and warnings about unknown variables."""

import asyncio
import json
from pathlib import Path

import pytest
from commands import TIMEOUT, line, run, started

from dragoman.config.settings import Settings

SECRET = "hush-0123456789"


async def test_where_each_setting_comes_from(tmp_path: Path) -> None:
    """The source is a flag, a named variable, `.env`, a file with its path, or the default. Secrets are hidden."""
    (tmp_path / ".env").write_text("DRAGOMAN_MAX_LIVE=3\n")
    (tmp_path / "my.toml").write_text('retries = 7\nembeddings_url = "https://me:hush-0123456789@voyage.example/v1"\n')
    given = {"PORT": "9001", "DRAGOMAN_SPARES": "0", "ANTHROPIC_API_KEY": SECRET, "DRAGOMAN_API_KEY": SECRET}
    flags = ("--host", "::1", "--config", "my.toml", "--debug", "--process-timeout-ms", "1500", "--json")
    ended = await run(tmp_path, "config", *flags, added=given)
    result = json.loads(ended.out)
    found = {name: (row["value"], row["source"], row["named"]) for name, row in result["settings"].items()}
    assert list(found) == list(Settings.model_fields)
    assert {name: row for name, row in found.items() if row[1] != "default"} == {
        "host": ("::1", "flag", "--host"),
        "port": (9001, "variable", "PORT"),
        "api_key": (True, "variable", "DRAGOMAN_API_KEY"),
        "anthropic_api_key": (True, "variable", "ANTHROPIC_API_KEY"),
        "retries": (7, "file", "my.toml"),
        "run_timeout": (1.5, "flag", "--run-timeout"),
        "spares": (0, "variable", "DRAGOMAN_SPARES"),
        "max_live": (3, "env_file", ".env: DRAGOMAN_MAX_LIVE"),
        "embeddings_url": ("https://[redacted]@voyage.example/v1", "file", "my.toml"),
        "config": ("my.toml", "flag", "--config"),
        "log_level": ("debug", "flag", "--log-level"),
    }
    assert (ended.code, result["problem"], result["warnings"]) == (0, None, [])
    assert SECRET not in ended.out + ended.err


async def test_table(tmp_path: Path) -> None:
    """The table shows all settings. `--given` leaves out defaults. The source of a key from a file is that file."""
    (tmp_path / "key").write_text(SECRET)
    ended = await run(tmp_path, "config", "--api-key-file", "key", "--no-reload")
    rows = {words[0]: " ".join(words[1:]) for words in map(str.split, ended.out.splitlines()) if words}
    assert rows["api_key"] == "set flag --api-key-file"
    assert rows["anthropic_api_key"] == "not set default"
    assert rows["models"] == "live list default"
    assert rows["max_request_bytes"] == "32MiB default"
    assert rows["reload"] == "off flag --no-reload"
    assert SECRET not in ended.out
    short = await run(tmp_path, "config", "--given", "--max-request-bytes", "1MiB", "--model-aliases", "fast=haiku")
    assert [" ".join(words.split()) for words in short.out.splitlines()] == [
        "Models",
        "model_aliases fast=haiku flag --model-aliases",
        "Limits",
        "max_request_bytes 1048576 flag --max-request-bytes",
    ]
    nothing = await run(tmp_path, "config", "--given")
    assert "All settings are at their defaults." in nothing.out


async def test_invalid_settings(tmp_path: Path) -> None:
    """An invalid value is shown with its source, and the error explains it."""
    (tmp_path / ".env").write_text(f"DRAGOMAN_PORT=many\nDRAGOMAN_API_KEY={SECRET}\n")
    ended = await run(tmp_path, "config")
    assert ended.code == 1
    assert "many  variable in .env: DRAGOMAN_PORT" in ended.out
    assert "port (--port, DRAGOMAN_PORT, PORT)" in ended.err
    assert "dragoman serve --help" in ended.err
    assert SECRET not in ended.out + ended.err
    gone = await run(tmp_path, "config", "--config", "gone.toml")
    assert (gone.code, "gone.toml cannot be read" in gone.err) == (1, True)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("DRAGOMAN_PROT", "did you mean DRAGOMAN_PORT?"),
        ("DRAGOMAN_UNHEARD_OF", "DRAGOMAN_UNHEARD_OF is not a setting."),
    ],
)
async def test_unknown_variables(tmp_path: Path, variable: str, meant: str) -> None:
    """`config` and `serve` warn about a variable that looks like a setting but is not."""
    ended = await run(tmp_path, "config", added={variable: "1"})
    assert (ended.code, meant in ended.err) == (0, True)
    (tmp_path / ".env").write_text(f"{variable}=1\n")
    async with started(tmp_path, "serve", "-p", "0", "-m", "--spares", "0") as process:
        await line(process, "http")
        process.terminate()
        _, err = await asyncio.wait_for(process.communicate(), TIMEOUT)
    assert meant in err.decode()


async def test_unknown_setting_in_a_file(tmp_path: Path) -> None:
    """An unknown setting in a file is an error with a suggestion."""
    (tmp_path / "my.toml").write_text("prot = 1\n")
    ended = await run(tmp_path, "serve", "--config", "my.toml")
    assert ended.code == 1
    assert "prot in my.toml: there is no such setting; did you mean port?" in ended.err
    assert "`dragoman config`" in ended.err


async def test_missing_key_variables(tmp_path: Path) -> None:
    """`serve` and `config` report a missing variable of a client key. Commands that call a gateway do not need it."""
    (tmp_path / "my.toml").write_text('[keys.app]\napi_key_env = "APP_KEY"\n')
    output = "key `app`: api_key_env names APP_KEY, which is not set. Set it, or put it into .env."
    given = ("--config", "my.toml", "--port", "1")
    for command in (("serve",), ("serve", "--background"), ("config",)):
        ended = await run(tmp_path, *command, *given)
        assert (ended.code, output in ended.err) == (1, True)
    request = await run(tmp_path, "status", "--port", "1", added={"DRAGOMAN_CONFIG": "my.toml"})
    assert output not in request.err
    assert "Start one with `dragoman serve`" in request.err
    assert (await run(tmp_path, "config", *given, added={"APP_KEY": SECRET})).code == 0
