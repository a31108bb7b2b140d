"""The compared gateways: this one with its features enabled, and LiteLLM's proxy with its defaults."""

import json
import subprocess
import sys
import venv
from contextlib import AbstractContextManager
from pathlib import Path

import api_processes
from api_bodies import KEY, MODEL
from api_processes import Process

LITELLM = Path(__file__).parent.parent / ".clients" / "litellm"
"""The default folder of LiteLLM. Git ignores it."""

_NO_LIMIT = "100000000"


def dragoman(home: Path, api: Process, command: Path) -> AbstractContextManager[Process]:
    """Start this gateway with a key, metrics, the log at info, and limits that no request reaches."""
    limits = ("--max-concurrency", "256", "--max-queue-size", "1000", "--requests-per-minute", _NO_LIMIT)
    log = ("--log-level", "info", "--log-file", "log")
    arguments = (str(command), "serve", "--backend", "api", "-p", "{port}", "--api-key", KEY, *limits, *log)
    account = {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{api.port}", "ANTHROPIC_API_KEY": "sk-ant-dummy"}
    return api_processes.served(arguments, "/health", home, account)


def litellm(home: Path, api: Process, folder: Path) -> AbstractContextManager[Process]:
    """Start LiteLLM's proxy with a key, its default log, no database, and no downloads."""
    config = home.with_suffix(".json")  # JSON is valid YAML
    config.write_text(json.dumps(_litellm_config(f"http://127.0.0.1:{api.port}")))
    arguments = (str(folder / "bin" / "litellm"), "--host", "127.0.0.1", "--port", "{port}", "--config", str(config))
    kinds = ("MODEL_COST_MAP", "ANTHROPIC_BETA_HEADERS", "AUTOROUTER_PRESETS", "BLOG_POSTS", "POLICY_TEMPLATES")
    local = {f"LITELLM_LOCAL_{kind}": "True" for kind in kinds}
    return api_processes.served(arguments, "/health/readiness", home, local)


def _litellm_config(api: str) -> dict[str, object]:
    parameters = {"model": f"anthropic/{MODEL}", "api_base": api, "api_key": "sk-ant-dummy"}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "litellm_settings": {"telemetry": False},
        "general_settings": {"master_key": KEY},
    }


def install_litellm(folder: Path) -> str:
    """Install LiteLLM if it is missing (about 740 MB). Return its version."""
    python = folder / "bin" / "python"
    if not (folder / "bin" / "litellm").exists():
        print(f"Installing LiteLLM's proxy into {folder} (a few minutes)...", file=sys.stderr)
        venv.create(folder, with_pip=True)
        pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "litellm[proxy]")
        subprocess.run(pip, check=True)  # noqa: S603 - our own command
    command = (str(python), "-c", "from importlib.metadata import version; print(version('litellm'))")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 - our own command
