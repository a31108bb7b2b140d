"""`dragoman run`: clients that are started with the gateway's address and key."""

import json
import sys
from pathlib import Path

import pytest
from background_gateway import background_gateway, registry
from commands import run

from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared.installation import locate
from dragoman.cli.connect.client import Target
from dragoman.cli.connect.launch import launch_command, launch_environment

TARGET = Target("http://127.0.0.1:9000", "haiku", needs_key=True, context=200_000, output=64_000)
ASK = """
import anthropic, openai, sys
asked = [{"role": "user", "content": "Reply with exactly: PONG"}]
print(openai.OpenAI().chat.completions.create(model="haiku", messages=asked).choices[0].message.content)
print(anthropic.Anthropic().messages.create(model="haiku", max_tokens=50, messages=asked).content[0].text)
sys.exit(7)
"""


async def test_a_running_gateway_is_used(tmp_path: Path) -> None:
    """The official libraries use it without any setting, with its key. The exit code is that of the client."""
    async with background_gateway(
        tmp_path, "--simulate", "--backend", "api", added={"DRAGOMAN_API_KEY": "hush-1"}
    ) as one:
        variables = {"DRAGOMAN_API_KEY": "hush-1", "OPENAI_API_KEY": "sk-other", "http_proxy": "http://127.0.0.1:1"}
        result = await run(tmp_path, "run", "--", sys.executable, "-c", ASK, added=variables)
        [record] = registry(tmp_path).running()
        assert record.pid == one.pid
    assert (result.out, result.code) == ("PONG\nPONG\n", 7), result.err


async def test_a_gateway_is_started_and_stopped(tmp_path: Path) -> None:
    """Without a running gateway one is started for the client, and it is gone with the client."""
    program = "import os; print(os.environ['OPENAI_BASE_URL'], os.environ['ANTHROPIC_MODEL'])"
    added = {"DRAGOMAN_BACKEND": "api"}
    result = await run(
        tmp_path, "run", "--simulate", "--model", "haiku", "--", sys.executable, "-c", program, added=added
    )
    url, model = result.out.split()
    assert (url.startswith("http://127.0.0.1:"), model, result.code) == (True, "haiku", 0), result.err
    assert registry(tmp_path).running() == []
    assert "ANTHROPIC_API_KEY" not in result.err


async def test_a_gateway_without_a_key_is_announced_before_the_client_fails(tmp_path: Path) -> None:
    """The client would show it after some retries, and with the advice for `dragoman serve`."""
    result = await run(tmp_path, "run", "--", "true", added={"DRAGOMAN_BACKEND": "runtime"})
    assert (result.code, result.out) == (0, "")
    assert "no key for Claude: set ANTHROPIC_API_KEY." in result.err
    assert "run --simulate -- CLIENT`." in result.err


async def test_claude_code(tmp_path: Path) -> None:
    """A real Claude Code needs no settings file."""
    program = str(locate(ClaudeCodeOptions(state_dir=tmp_path)))
    async with background_gateway(tmp_path, "--simulate", "--backend", "api"):
        asking = ("--", program, "-p", "Reply with exactly: PONG", "--output-format", "text")
        quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
        result = await run(tmp_path, "run", "--model", "claude-opus-5-5", *asking, added=quiet)
        runs = await run(tmp_path, "runs", "--json")
    assert (result.out.strip(), result.code) == ("PONG", 0), result.err
    assert json.loads(runs.out)["runs"][0]["endpoint"] == "/v1/messages"


async def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    """The exit code is that of a shell."""
    async with background_gateway(tmp_path, "--simulate", "--backend", "api"):
        result = await run(tmp_path, "run", "--", "no-such-client")
        killed = await run(tmp_path, "run", "--", "sh", "-c", "kill -9 $$")
    assert (result.code, result.err) == (127, "Error: There is no program `no-such-client`.\n")
    assert killed.code == 137


def test_known_programs() -> None:
    """Programs with settings of their own get them: Codex by flags, OpenCode and aider by variables."""
    codex = launch_command(("/usr/bin/codex", "exec", "Hello"), TARGET)
    assert codex[-2:] == ["exec", "Hello"]
    assert 'model_providers.dragoman.base_url="http://127.0.0.1:9000/v1"' in codex
    assert codex.count("-c") == 6
    opencode = launch_environment(("opencode",), TARGET, "k", {})
    assert json.loads(opencode["OPENCODE_CONFIG_CONTENT"])["model"] == "dragoman/haiku"
    assert launch_environment(("aider",), TARGET, "k", {})["AIDER_MODEL"] == "openai/haiku"


@pytest.mark.parametrize("program", ["claude", "other"])
def test_keys_of_other_services(program: str) -> None:
    """A client never sends the user's own keys to the gateway. Claude Code gets its key in one variable."""
    own = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2", "CLAUDE_CODE_OAUTH_TOKEN": "sk-3", "HOME": "/home/a"}
    found = launch_environment((program,), TARGET, "k", own)
    assert found["HOME"] == "/home/a"
    assert {found["OPENAI_API_KEY"], found["ANTHROPIC_AUTH_TOKEN"]} == {"k"}
    if program == "claude":
        assert not {"ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"} & found.keys()
    else:
        assert found["ANTHROPIC_API_KEY"] == "k"


def test_proxies() -> None:
    """A client behind a proxy reaches the gateway of this machine without it."""
    found = launch_environment(("other",), TARGET, "k", {"HTTPS_PROXY": "http://proxy", "NO_PROXY": "intra"})
    assert found["NO_PROXY"] == found["no_proxy"] == "intra,127.0.0.1,::1"
    assert "NO_PROXY" not in launch_environment(("other",), TARGET, "k", {})
