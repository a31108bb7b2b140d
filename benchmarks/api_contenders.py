"""The compared programs: this gateway with its features enabled, and its peers with their defaults.

Peers are installed outside of the project, in folders that Git ignores. One that is missing is skipped, and the text
that says so contains the command that installs it.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import api_processes
from api_bodies import KEY, MODEL, Dialect
from api_processes import Process

FOLDER = Path(__file__).parent.parent / ".clients"
"""Where peers are installed. Git ignores it."""

_NO_LIMIT = "100000000"


def dragoman(
    home: Path, api: Process, command: Path, *, backend: str = "api", slots: int = 256
) -> AbstractContextManager[Process]:
    """Start this gateway with a key, metrics, the log at info, and limits that no request reaches."""
    limits = ("--max-concurrency", str(slots), "--max-queue-size", "1000", "--requests-per-minute", _NO_LIMIT)
    log = ("--log-level", "info", "--log-file", "log")
    arguments = (str(command), "serve", "--backend", backend, "-p", "{port}", "--api-key", KEY, *limits, *log)
    account = {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{api.port}", "ANTHROPIC_API_KEY": "sk-ant-dummy"}
    return api_processes.served(arguments, "/health", home, account)


@dataclass(frozen=True, slots=True)
class Peer:
    """A program to compare with.

    Attributes:
        name: Its name in the table.
        command: Its executable, or its script.
        install: The shell command that installs it.
        start: Starts it: its home, the API, its command.
        dialect: The API that it is asked in.
        headers: Further header lines of requests, each with its line end. `{api}` is the port of the API.
    """

    name: str
    command: Path
    install: str
    start: Callable[[Path, Process, Path], AbstractContextManager[Process]]
    dialect: Dialect = "openai"
    headers: str = ""

    def is_installed(self) -> bool:
        """Return whether it can be started."""
        return self.command.exists()


def _litellm(home: Path, api: Process, command: Path) -> AbstractContextManager[Process]:
    """Start LiteLLM's proxy with a key, its default log, no database, and no downloads."""
    config = home.with_suffix(".json")  # JSON is valid YAML
    config.write_text(json.dumps(_litellm_config(f"http://127.0.0.1:{api.port}")))
    arguments = (str(command), "--host", "127.0.0.1", "--port", "{port}", "--config", str(config))
    kinds = ("MODEL_COST_MAP", "ANTHROPIC_BETA_HEADERS", "AUTOROUTER_PRESETS", "BLOG_POSTS", "POLICY_TEMPLATES")
    local = {f"LITELLM_LOCAL_{kind}": "True" for kind in kinds}
    return api_processes.served(arguments, "/health/readiness", home, local)


def _portkey(home: Path, api: Process, command: Path) -> AbstractContextManager[Process]:  # noqa: ARG001 - headers name the API
    """Start Portkey's gateway without its console."""
    return api_processes.served(
        ("node", str(command), "--port={port}", "--headless"), "/", home, {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1"}
    )


def _nginx(home: Path, api: Process, command: Path) -> AbstractContextManager[Process]:
    """Start nginx with one worker, which passes requests on as they are and logs them."""
    home.with_suffix(".logs").mkdir()
    config = home.with_suffix(".conf")
    text = _NGINX.replace("API", str(api.port)).replace("HOME", str(home.with_suffix(".logs")))
    arguments = (str(command), "-e", "stderr", "-c", str(config), "-g", "daemon off;")
    return api_processes.served(
        arguments, "/health", home, {}, lambda port: config.write_text(text.replace("PORT", port))
    )


def _bare(home: Path, api: Process, command: Path) -> AbstractContextManager[Process]:
    """Start the bare translator of this folder."""
    return api_processes.served((sys.executable, str(command), "{port}", str(api.port)), "/health", home, {})


_NGINX = """
worker_processes 1;
pid HOME/pid;
events { worker_connections 4096; }
http {
  access_log HOME/access.log;
  client_body_temp_path HOME/body; proxy_temp_path HOME/proxy; fastcgi_temp_path HOME/f; uwsgi_temp_path HOME/u;
  scgi_temp_path HOME/s;
  client_body_buffer_size 1m; client_max_body_size 64m; keepalive_requests 100000000;
  upstream api { server 127.0.0.1:API; keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:PORT;
    location = /health { return 200; }
    location / {
      proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }
  }
}
"""

PEERS = (
    Peer(
        "LiteLLM",
        FOLDER / "litellm" / "bin" / "litellm",
        "python -m venv .clients/litellm && .clients/litellm/bin/pip install 'litellm[proxy]'  # some 740 MB",
        _litellm,
    ),
    Peer(
        "Portkey",
        FOLDER / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js",
        "npm install --prefix .clients/portkey @portkey-ai/gateway",
        _portkey,
        headers="x-portkey-provider: anthropic\r\nx-portkey-custom-host: http://127.0.0.1:{api}/v1\r\n",
    ),
    Peer("nginx", Path(shutil.which("nginx") or "/usr/sbin/nginx"), "apt-get install nginx", _nginx, "anthropic"),
    Peer("bare protocol", Path(__file__).parent / "api_bare.py", "", _bare),
)
"""The peers. The first one is that of the ratios."""


def _litellm_config(api: str) -> dict[str, object]:
    parameters = {"model": f"anthropic/{MODEL}", "api_base": api, "api_key": "sk-ant-dummy"}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "litellm_settings": {"telemetry": False},
        "general_settings": {"master_key": KEY},
    }


def version_of(peer: Peer) -> str:
    """Return the version of an installed peer, as far as it has one."""
    if peer.name == "LiteLLM":
        code = "from importlib.metadata import version; print(version('litellm'))"
        return _output(str(peer.command.with_name("python")), "-c", code)
    if peer.name == "Portkey":
        return str(json.loads((peer.command.parent.parent / "package.json").read_text())["version"])
    return _output(str(peer.command), "-v").rpartition("/")[2] if peer.name == "nginx" else ""


def _output(*command: str) -> str:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603 - our own command
    return done.stdout.strip()
