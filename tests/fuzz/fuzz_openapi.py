"""Fuzz the API by its OpenAPI document: Schemathesis against a simulated gateway, `fuzz_openapi.py SECONDS`.

It also runs outside of `make fuzz`: against the document of any gateway, `schemathesis run URL/openapi.json`.
"""

import json
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_BIN = Path(sys.executable).parent
_CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
_MAX_EXAMPLES = 10_000
_KEY = "key-of-the-fuzzer"
"""Once a request has created a key, every request needs one."""


def main() -> None:
    """Start a simulated gateway, and run Schemathesis until the time is over. Exit code 1: it found something."""
    seconds = int(sys.argv[1])
    with TemporaryDirectory(prefix="dragoman-openapi-") as home:
        folders = {"DRAGOMAN_API_KEY": _KEY, "HOME": home, "XDG_STATE_HOME": home, "PATH": str(_BIN)}
        flags = ("--simulate", "--backend", "api", "-p", "0", "-m", "--log-file", "log")
        command = [str(_BIN / "dragoman"), "serve", *flags]
        with subprocess.Popen(command, env=folders, cwd=home, stdout=subprocess.PIPE, text=True) as gateway:  # noqa: S603 - ours
            try:
                assert gateway.stdout is not None
                url = next(line.strip() for line in gateway.stdout if "http://" in line)
                failed = _fuzz(url, home, seconds)
            finally:
                gateway.terminate()
        log = Path(home, "log").read_text(encoding="utf-8")
        if "Traceback" in log:
            failed = True
            print("\n".join(line for line in log.splitlines() if "Traceback" in line)[:5000])
    sys.exit(failed)


def _fuzz(url: str, home: str, seconds: int) -> bool:
    """Run Schemathesis. Return whether it found something."""
    document = Path(home, "openapi.json")
    document.write_text(json.dumps(_document(url)), encoding="utf-8")
    command = [str(_BIN / "schemathesis"), "run", str(document), "--url", url, "--checks", _CHECKS, "--no-color"]
    command += ["--max-time", str(seconds), "--max-examples", str(_MAX_EXAMPLES), "--request-timeout", "120"]
    command += ["--header", f"Authorization: Bearer {_KEY}"]
    command += ["--exclude-path", "/v1/embeddings"]  # its model is not installed everywhere, and loads slowly
    done = subprocess.run(command, cwd=home, check=False)  # noqa: S603 - ours
    return done.returncode != 0


def _document(url: str) -> Any:
    """Return the gateway's document, without the schemas of its streams: OpenAPI 3.1 does not define their meaning."""
    connection = HTTPConnection(url.removeprefix("http://"))
    connection.request("GET", "/openapi.json")
    document = json.loads(connection.getresponse().read())
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        for response in operation["responses"].values() if isinstance(operation, dict) else ():
            if "text/event-stream" in response.get("content", {}):
                response["content"]["text/event-stream"] = {}
    return document


if __name__ == "__main__":
    main()
