"""The check of links to other sites, `make links`, against a server on this machine."""

import json
import sys
from asyncio import StreamReader, StreamWriter, create_subprocess_exec, wait_for
from asyncio.subprocess import PIPE, STDOUT
from importlib.util import find_spec
from pathlib import Path

import pytest
from api_harness import raw_server
from commands import TIMEOUT
from pages import ROOT

PAGE = """# A page

[good]({url}/good), [moved]({url}/moved), [gone]({url}/gone), [an example](http://127.0.0.1:8787/v1)

```
{url}/code
```
"""
RESPONSES = {"/good": "200 OK", "/moved": "301 Moved\r\nlocation: /good", "/gone": "404 Not Found"}


@pytest.mark.skipif(
    find_spec("sphinx_copybutton") is None, reason="the extra `docs` is not installed; `make docs-site` installs it"
)
async def test_links_to_other_sites(tmp_path: Path) -> None:
    """Each link is requested and listed with its result. A broken one fails the command. Examples are not requested."""
    requested: set[str] = set()

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        requested.add(path)
        writer.write(f"HTTP/1.1 {RESPONSES[path]}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()

    async with raw_server(answer) as url:
        (tmp_path / "page.md").write_text(PAGE.format(url=url))
        options = (
            "--builder",
            "linkcheck",
            "-c",
            ROOT / "docs",
            "-D",
            "root_doc=page",
            "-D",
            "include_patterns=page.md",
        )
        command = (sys.executable, "-m", "sphinx", *options, tmp_path, tmp_path / "out")
        process = await create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
        output, _ = await wait_for(process.communicate(), TIMEOUT)
    lines = (tmp_path / "out" / "output.json").read_text(encoding="utf-8").splitlines()
    results = {link["uri"].removeprefix(url): link["status"] for link in map(json.loads, lines)}
    assert results == {
        "/good": "working",
        "/moved": "redirected",
        "/gone": "broken",
        "http://127.0.0.1:8787/v1": "ignored",
    }
    assert process.returncode == 1, output.decode()
    assert requested == {"/good", "/moved", "/gone"}
