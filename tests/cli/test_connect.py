"""`dragoman connect`, `models` and `completion`."""

import asyncio
import json
import os
import shlex
import shutil
import sys
import tomllib
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import TIMEOUT, environment, line, run, started

from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared.installation import locate
from dragoman.cli.connect import CLIENTS
from dragoman.cli.connect.client import Client, Part, Target
from tools.docs.clients import clients_page

KEY = "hush-0123456789"
KEYED = Target("http://10.1.2.3:9000", "haiku", needs_key=True, context=200_000, output=64_000)
OPEN = Target("http://127.0.0.1:8787", "sonnet", needs_key=False, context=200_000, output=64_000)
ROOT = Path(__file__).parents[2]

every_client = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)


PARSERS: Mapping[str, Callable[[str], object]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "python": lambda text: compile(text, "program", "exec"),
    "py": lambda text: compile(text, "program", "exec"),
    "sh": shlex.split,
    "js": str,
    "ini": lambda text: dict(line.split("=", 1) for line in text.splitlines()),
    "text": lambda text: dict(line.split(":", 1) for line in text.splitlines()),
}
"""How each language is parsed. `make clients` runs the programs for Node with a real Node."""


def parsed(part: Part) -> object:
    """Parse a part by the rules of its language."""
    return PARSERS[part.language](part.text)


@every_client
@pytest.mark.parametrize("target", [OPEN, KEYED], ids=["open", "keyed"])
def test_contents(client: Client, target: Target) -> None:
    """Each part can be parsed. Together they contain the address, the model and the variable of the key."""
    parts = client.parts(target)
    output = "\n".join(part.text for part in parts)
    assert all(parsed(part) for part in parts)
    assert target.address in output
    assert target.model in output
    if target.needs_key:
        assert (client.key_variable or target.key) in output


def test_exact_files() -> None:
    """The base URL, the key and the model are in the fields that each client reads."""
    result: dict[str, Any] = {name: parsed(CLIENTS[name].parts(KEYED)[0]) for name in CLIENTS}
    assert result["codex"] == {
        "model": "haiku",
        "model_provider": "dragoman",
        "model_providers": {
            "dragoman": {
                "name": "Dragoman",
                "base_url": "http://10.1.2.3:9000/v1",
                "env_key": "DRAGOMAN_CLIENT_KEY",
                "wire_api": "responses",
            }
        },
    }
    assert result["claude-code"] == {"env": {"ANTHROPIC_BASE_URL": "http://10.1.2.3:9000", "ANTHROPIC_MODEL": "haiku"}}
    assert result["aider"] == {
        "model": "openai/haiku",
        "openai-api-base": "http://10.1.2.3:9000/v1",
        "show-model-warnings": False,
    }
    [model] = result["continue"]["models"]
    assert (model["provider"], model["apiBase"]) == ("openai", "http://10.1.2.3:9000/v1")
    assert model["apiKey"] == "${{ secrets.DRAGOMAN_CLIENT_KEY }}"


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """Yield the address of a gateway with a key from the environment."""
    arguments = ("serve", "--simulate", "-p", "0", "-m", "--spares", "0")
    async with started(tmp_path, *arguments, added={"DRAGOMAN_API_KEY": KEY}) as process:
        yield await line(process, "http")


async def call(home: Path, *arguments: str, **added: str) -> str:
    """Return what a program prints."""
    env = {**environment(home), "DRAGOMAN_CLIENT_KEY": KEY, **added}
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd=home, env=env
    )
    out, err = await asyncio.wait_for(process.communicate(), TIMEOUT)
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize("name", ["openai-python", "anthropic", "curl"])
async def test_library_programs(name: str, address: str, tmp_path: Path) -> None:
    """The printed program works unchanged with the running gateway."""
    result = await run(tmp_path, "connect", name, "--raw")
    assert (result.code, result.err) == (0, "")
    assert address in result.out
    if name == "curl" and not shutil.which("curl"):
        pytest.skip("there is no curl here")
    program = result.out.replace("export DRAGOMAN_CLIENT_KEY=...\n", "")
    interpreter = "sh" if name == "curl" else sys.executable
    assert "PONG" in await call(tmp_path, interpreter, "-c", program)


@pytest.mark.usefixtures("address")
async def test_claude_code(tmp_path: Path) -> None:
    """A real Claude Code uses the gateway with the printed settings file."""
    result = await run(tmp_path, "connect", "claude-code", "--raw", "--model", "claude-opus-5")
    settings = tmp_path / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text(result.out)
    program = str(locate(ClaudeCodeOptions(state_dir=tmp_path)))
    arguments = ("-p", "Reply with exactly: PONG", "--output-format", "text")
    secrets = {"ANTHROPIC_AUTH_TOKEN": KEY, "CLAUDE_CODE_OAUTH_TOKEN": ""}
    output = await call(tmp_path, program, *arguments, **secrets, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1")
    assert output.strip() == "PONG"


async def test_keys(address: str, tmp_path: Path) -> None:
    """The command finds out without a key whether the gateway requires one. It never prints the key."""
    result = json.loads((await run(tmp_path, "connect", "codex", "--json")).out)
    assert (result["address"], result["keyed"], result["key_variable"]) == (address, True, "DRAGOMAN_CLIENT_KEY")
    assert {part["where"] for part in result["parts"] if part["file"]} == {"~/.codex/config.toml"}
    ended = await run(tmp_path, "connect", "open-webui", added={"DRAGOMAN_API_KEY": KEY})
    assert f"OPENAI_API_BASE_URL: {address}/v1" in ended.out
    assert KEY not in ended.out + ended.err


async def test_without_a_gateway(tmp_path: Path) -> None:
    """Without a gateway, the command prints the settings with a note. Another address can be given."""
    ended = await run(tmp_path, "connect", "cline", "--port", "1")
    assert "http://127.0.0.1:1/v1" in ended.out
    assert "Start one with `dragoman serve`" in ended.err
    named = await run(tmp_path, "connect", "cursor", "--address", "https://gate.example/v1/", "--api-key", KEY)
    assert "https://gate.example/v1\n" in named.out
    assert "OpenAI API Key:           the gateway's API key" in named.out
    assert named.err == ""


async def test_the_list(tmp_path: Path) -> None:
    """Without a name, the command lists all clients. For an unknown name, it suggests the closest one."""
    result = await run(tmp_path, "connect")
    assert all(f"  {name} " in result.out for name in CLIENTS)
    listed = json.loads((await run(tmp_path, "connect", "--json")).out)
    assert listed == {name: client.title for name, client in CLIENTS.items()}
    wrong = await run(tmp_path, "connect", "cursro")
    assert wrong.code == 1
    assert "Did you mean cursor? `dragoman connect` lists the clients." in wrong.err
    model = await run(tmp_path, "connect", "curl", "--model", "gpt-4o")
    assert model.code == 1
    assert "`dragoman models` lists the models" in model.err


def test_page() -> None:
    """`docs/clients.md` matches the command. If not, run `make docs`."""
    assert (ROOT / "docs" / "clients.md").read_text(encoding="utf-8") == clients_page()


@pytest.mark.usefixtures("address")
async def test_models(tmp_path: Path) -> None:
    """The list comes from the running gateway. Without one, it contains the models that this version knows."""
    served = json.loads((await run(tmp_path, "models", "--json", added={"DRAGOMAN_API_KEY": KEY})).out)
    offline = await run(tmp_path, "models", "--port", "1", "--model-aliases", "fast=haiku,odd=gone", "--json")
    for rows in (served, json.loads(offline.out)):
        [sonnet] = [row for row in rows if "sonnet" in row["aliases"]]
        assert sonnet["id"].startswith("claude-sonnet-")
        assert sonnet["context"] >= 200_000
    assert any("fast" in row["aliases"] for row in json.loads(offline.out))
    assert "No gateway responds" in offline.err
    table = await run(tmp_path, "models", added={"DRAGOMAN_API_KEY": KEY})
    assert "aliases" in table.out.splitlines()[0]
    assert table.err == ""
    refused = await run(tmp_path, "models", added={"DRAGOMAN_API_KEY": "wrong"})
    assert refused.code == 1
    assert "--api-key" in refused.err


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("dragoman co", ["connect", "config", "completion"]),
        ("dragoman connect o", ["open-webui", "opencode", "openai-python", "openai-node"]),
        ("dragoman serve --log-level d", ["debug"]),
        ("dragoman serve --max-c", ["--max-concurrency"]),
        ("dragoman completion f", ["fish"]),
    ],
)
async def test_completion(words: str, offered: list[str], tmp_path: Path) -> None:
    """Commands, clients, flags and the values of flags are completed."""
    request = {"_DRAGOMAN_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    ended = await run(tmp_path, added=request)
    assert [text.partition(",")[2] for text in ended.out.split()] == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_scripts(shell: str, tmp_path: Path) -> None:
    """Each installed shell accepts its script."""
    ended = await run(tmp_path, "completion", shell)
    assert ended.code == 0
    assert "_DRAGOMAN_COMPLETE" in ended.out
    if program := shutil.which(shell):
        (tmp_path / "script").write_text(ended.out)
        await call(tmp_path, program, "-n", "script")
        if shell == "bash":
            assert "_dragoman_completion" in await call(tmp_path, program, "-c", ". ./script; complete -p dragoman")


async def test_completion_at_a_terminal(tmp_path: Path) -> None:
    """In a terminal, the command prints how to enable completion permanently."""
    ours, theirs = os.openpty()
    try:
        async with started(tmp_path, "completion", "fish", stdout=theirs) as process:
            _, err = await asyncio.wait_for(process.communicate(), TIMEOUT)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"completions/dragoman.fish" in err
