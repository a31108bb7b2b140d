"""The programs in the docs run unchanged with a gateway and its simulator."""

import asyncio
import os
import re
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from commands import TIMEOUT, environment, line, started
from pages import PAGE_IDS, PAGES, ROOT, blocks, curls, read

PROGRAMS = [(page, text) for page in PAGES for text in blocks(page, "python")]
PROGRAM_IDS = [page.stem for page, _ in PROGRAMS]

LIMIT = ("--requests-per-minute", "1000")
"""A limit, so that its metrics are there."""


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """Yield the address of a gateway."""
    async with started(tmp_path, "serve", "--simulate", "--port", "0", "--minimal", "--spares", "0", *LIMIT) as process:
        yield await line(process, "http")


async def run(home: Path, base_url: str, *arguments: str) -> str:
    """Return what a program prints. It must not fail or print errors."""
    added = {"OPENAI_BASE_URL": base_url, "PATH": os.environ["PATH"]}
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=PIPE, stderr=PIPE, cwd=home, env={**environment(home), **added}
    )
    out, complaints = await asyncio.wait_for(process.communicate(), TIMEOUT)
    assert complaints == b""
    assert process.returncode == 0
    return out.decode()


@pytest.mark.parametrize(("page", "text"), PROGRAMS, ids=PROGRAM_IDS)
async def test_python_of_the_pages(page: Path, text: str, address: str, tmp_path: Path) -> None:
    """Each Python program runs unchanged except for the port."""
    program = tmp_path / "program.py"
    program.write_text(text.replace("http://127.0.0.1:8787", address), encoding="utf-8")
    output = await run(tmp_path, f"{address}/v1", sys.executable, str(program))
    assert output.strip()
    if page.name == "README.md":
        assert output == "PONG\n"


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_other_python_compiles(page: Path) -> None:
    """Programs that need packages which the tests do not install can be compiled."""
    for text in blocks(page, "py"):
        compile(text, str(page), "exec")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("chat.py", "You said: And where does the word come from?"),
        ("stream.py", "1 2 3 4 5 6 7 8 9 10\n"),
    ],
)
async def test_python_examples(name: str, says: str, address: str, tmp_path: Path) -> None:
    """The examples run unchanged."""
    assert says in await run(tmp_path, f"{address}/v1", sys.executable, str(ROOT / "examples" / name))


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_curl_example(address: str, tmp_path: Path) -> None:
    """The curl example runs unchanged."""
    output = await run(tmp_path, f"{address}/v1", "sh", str(ROOT / "examples" / "curl.sh"))
    assert '"content":"PONG"' in output
    assert output.rstrip().endswith("data: [DONE]")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("page", [page for page in PAGES if curls(page)], ids=lambda page: str(page.name))
async def test_curl_of_the_pages(page: Path, tmp_path: Path) -> None:
    """Each command succeeds unchanged except for the port and the directory. The simulator's page shows an error."""
    app = tmp_path / "app"
    app.mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "dragoman_api_key").write_text("none")
    flags = ("--port", "0", "--minimal", "--spares", "0", "--allow-dir", str(app), "--no-agent-boundary")
    async with started(tmp_path, "serve", "--simulate", *flags) as process:
        address = await line(process, "http")
        for command in curls(page):
            request = command.replace("http://127.0.0.1:8787", address).replace("/home/ann/projects/app", str(app))
            output = await run(tmp_path, f"{address}/v1", "sh", "-c", request.replace("curl ", "curl -sS ", 1))
            assert output.startswith('{"error"') == (page.name == "simulator.md"), output


async def test_metrics_and_events_of_the_operators_page(address: str) -> None:
    """Every metric on the page exists after one successful and one failed request."""
    named = set(re.findall(r"`(dragoman_\w+)`", read(ROOT / "docs" / "operate.md")))
    assert named
    async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT) as http:
        await http.get("/nowhere")
        answer = await http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hello"}]})
        assert answer.status_code == 200
        # A request is counted after its last byte, so the count may appear one request later.
        for _ in range(100):
            metrics = (await http.get("/metrics")).text
            missing = {name for name in named if not re.search(rf"^{name}(_count)?(\{{| )", metrics, re.MULTILINE)}
            if not missing:
                break
    assert missing == set()
