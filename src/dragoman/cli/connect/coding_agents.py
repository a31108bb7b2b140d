"""Coding agents for the command line."""

import json

from dragoman.cli.connect.client import KEY_VARIABLE, Client, Part, Target


def _claude_code(target: Target) -> tuple[Part, ...]:
    settings = {"env": {"ANTHROPIC_BASE_URL": target.address, "ANTHROPIC_MODEL": target.model}}
    return (
        Part("~/.claude/settings.json", "json", json.dumps(settings, indent=2), file=True),
        Part("the shell", "sh", f"{target.export('ANTHROPIC_AUTH_TOKEN')}\nclaude"),
    )


def _codex(target: Target) -> tuple[Part, ...]:
    settings = f"""\
model = "{target.model}"
model_provider = "dragoman"

[model_providers.dragoman]
name = "Dragoman"
base_url = "{target.base_url}"
env_key = "{KEY_VARIABLE}"
wire_api = "responses\""""
    return (
        Part("~/.codex/config.toml", "toml", settings, file=True),
        Part("the shell", "sh", f"{target.export()}\ncodex"),
    )


def _opencode(target: Target) -> tuple[Part, ...]:
    limit = {"context": target.context, "output": target.output}
    model = {"name": f"Claude ({target.model})", "tool_call": True, "attachment": True, "limit": limit}
    settings = {
        "$schema": "https://opencode.ai/config.json",
        "model": f"dragoman/{target.model}",
        "provider": {
            "dragoman": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Dragoman",
                "options": {"baseURL": target.base_url, "apiKey": f"{{env:{KEY_VARIABLE}}}"},
                "models": {target.model: model},
            }
        },
    }
    return (
        Part("~/.config/opencode/opencode.json", "json", json.dumps(settings, indent=2), file=True),
        Part("the shell", "sh", f"{target.export()}\nopencode"),
    )


def _aider(target: Target) -> tuple[Part, ...]:
    settings = f"model: openai/{target.model}\nopenai-api-base: {target.base_url}\nshow-model-warnings: false"
    return (
        Part("~/.aider.conf.yml", "yaml", settings, file=True),
        Part("the shell", "sh", f"{target.export('OPENAI_API_KEY')}\naider"),
    )


def _llm(target: Target) -> tuple[Part, ...]:
    settings = f"""\
- model_id: dragoman
  model_name: {target.model}
  api_base: {target.base_url}
  api_key_name: dragoman
  supports_schema: true
  supports_tools: true
  vision: true"""
    value = f'"${KEY_VARIABLE}"' if target.needs_key else "none"
    shell = f'llm keys set dragoman --value {value}\nllm -m dragoman "Hello"'
    return (
        Part("~/.config/io.datasette.llm/extra-openai-models.yaml", "yaml", settings, file=True),
        Part("the shell", "sh", shell),
    )


AGENTS = (
    Client("claude-code", "Claude Code", "ANTHROPIC_AUTH_TOKEN", _claude_code),
    Client("codex", "Codex", KEY_VARIABLE, _codex),
    Client("opencode", "OpenCode", KEY_VARIABLE, _opencode),
    Client("aider", "aider", "OPENAI_API_KEY", _aider),
    Client("llm", "llm", KEY_VARIABLE, _llm, "On macOS the file is in ~/Library/Application Support/io.datasette.llm."),
)
