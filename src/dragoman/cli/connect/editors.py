"""Editors, their extensions, and chat in the browser."""

import json

from dragoman.cli.connect.client import KEY_VARIABLE, Client, Part, Target

_ZED_PROVIDER, _ZED_VARIABLE = "Dragoman Gateway", "DRAGOMAN_GATEWAY_API_KEY"


def _continue(target: Target) -> tuple[Part, ...]:
    settings = f"""\
name: Dragoman
version: 0.0.1
schema: v1
models:
  - name: Claude ({target.model})
    provider: openai
    model: {target.model}
    apiBase: {target.base_url}
    apiKey: ${{{{ secrets.{KEY_VARIABLE} }}}}
    roles:
      - chat
      - edit
      - apply"""
    return (
        Part("~/.continue/config.yaml", "yaml", settings, file=True),
        Part("~/.continue/.env", "ini", f"{KEY_VARIABLE}={'...' if target.needs_key else 'none'}", file=True),
    )


def _zed(target: Target) -> tuple[Part, ...]:
    model = {
        "name": target.model,
        "display_name": f"Claude ({target.model})",
        "max_tokens": target.context,
        "max_output_tokens": target.output,
        "capabilities": {"tools": True, "images": True, "parallel_tool_calls": True, "prompt_cache_key": False},
    }
    provider = {"api_url": target.base_url, "available_models": [model]}
    settings = {
        "language_models": {"openai_compatible": {_ZED_PROVIDER: provider}},
        "agent": {"default_model": {"provider": _ZED_PROVIDER, "model": target.model}},
    }
    return (
        Part("~/.config/zed/settings.json", "json", json.dumps(settings, indent=2), file=True),
        Part("the shell", "sh", f"{target.export(_ZED_VARIABLE)}\nzed"),
    )


def _cursor(target: Target) -> tuple[Part, ...]:
    fields = {
        "OpenAI API Key": target.key,
        "Override OpenAI Base URL": target.base_url,
        "Add Custom Model": target.model,
    }
    return (Part("Cursor Settings > Models > API Keys", "text", _fields(fields)),)


def _cline(target: Target) -> tuple[Part, ...]:
    fields = {
        "API Provider": "OpenAI Compatible",
        "Base URL": target.base_url,
        "API Key": target.key,
        "Model ID": target.model,
    }
    key = f'"${KEY_VARIABLE}"' if target.needs_key else "none"
    shell = f"cline auth openai --apikey {key} --baseurl {target.base_url} --modelid {target.model}"
    return (
        Part("Cline > Settings > API Configuration", "text", _fields(fields)),
        Part("the shell, for its command line", "sh", shell),
    )


def _open_webui(target: Target) -> tuple[Part, ...]:
    compose = f"""\
services:
  open-webui:
    image: ghcr.io/open-webui/open-webui:main
    network_mode: host
    environment:
      OPENAI_API_BASE_URL: {target.base_url}
      OPENAI_API_KEY: ${{{KEY_VARIABLE}:-none}}
      DEFAULT_MODELS: {target.model}
      ENABLE_OLLAMA_API: "false"
    volumes:
      - open-webui:/app/backend/data
volumes:
  open-webui: {{}}"""
    shell = f"{target.export('OPENAI_API_KEY')}\nexport OPENAI_API_BASE_URL={target.base_url}\nopen-webui serve"
    return (
        Part("compose.yaml", "yaml", compose, file=True),
        Part("the shell, if it is installed without containers", "sh", shell),
    )


def _fields(fields: dict[str, str]) -> str:
    width = max(map(len, fields))
    return "\n".join(f"{name + ':':{width + 1}} {value}" for name, value in fields.items())


EDITORS = (
    Client(
        "cursor",
        "Cursor",
        "",
        _cursor,
        "Cursor sends requests from its own servers. The gateway needs a public address with TLS, and an API key: run "
        "`dragoman serve --api-key-file FILE --allow-host NAME` behind a tunnel or proxy with that name, then "
        "`dragoman connect cursor --address https://NAME`.",
    ),
    Client("cline", "Cline", "", _cline),
    Client("continue", "Continue", KEY_VARIABLE, _continue),
    Client("zed", "Zed", _ZED_VARIABLE, _zed, "Zed derives the name of the variable from the name of the provider."),
    Client(
        "open-webui",
        "Open WebUI",
        "OPENAI_API_KEY",
        _open_webui,
        "It keeps what it was fields first: later changes are made in its own settings, under Connections.",
    ),
)
