"""The programs of the docs run, as a reader would run them, against a gateway in front of the simulator."""

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


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """The address of a gateway, started as a reader would."""
    async with started(tmp_path, "serve", "--simulate", "--port", "0", "--minimal", "--spares", "1") as process:
        yield await line(process, "http")


async def run(home: Path, base_url: str, *arguments: str) -> str:
    """What a program prints; it may not fail or complain."""
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
    """Each Python program runs as it stands, but for the port."""
    program = tmp_path / "program.py"
    program.write_text(text.replace("http://127.0.0.1:8787", address), encoding="utf-8")
    said = await run(tmp_path, f"{address}/v1", sys.executable, str(program))
    assert said.strip()
    if page.name == "README.md":
        assert said == "PONG\n"


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_other_python_compiles(page: Path) -> None:
    """Programs that need what the tests do not install are at least Python."""
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
    """The examples run as they stand."""
    assert says in await run(tmp_path, f"{address}/v1", sys.executable, str(ROOT / "examples" / name))


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
async def test_curl_example(address: str, tmp_path: Path) -> None:
    """The same for curl."""
    said = await run(tmp_path, f"{address}/v1", "sh", str(ROOT / "examples" / "curl.sh"))
    assert '"content":"PONG"' in said
    assert said.rstrip().endswith("data: [DONE]")


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("page", [page for page in PAGES if curls(page)], ids=lambda page: str(page.name))
async def test_curl_of_the_pages(page: Path, tmp_path: Path) -> None:
    """Each command is answered as it stands, but for the port and the directory; one shows how an error looks."""
    app = tmp_path / "app"
    app.mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "dragoman_api_key").write_text("none")
    flags = ("--port", "0", "--minimal", "--spares", "1", "--allow-dir", str(app))
    async with started(tmp_path, "serve", "--simulate", *flags) as process:
        address = await line(process, "http")
        for command in curls(page):
            asked = command.replace("http://127.0.0.1:8787", address).replace("/home/ann/projects/app", str(app))
            said = await run(tmp_path, f"{address}/v1", "sh", "-c", asked.replace("curl ", "curl -sS ", 1))
            assert said.startswith('{"error"') == (page.name == "simulator.md"), said


async def test_metrics_and_events_of_the_operators_page(address: str) -> None:
    """Every metric that the page names is there once a question was answered and another refused."""
    named = set(re.findall(r"`(dragoman_\w+)`", read(ROOT / "docs" / "operate.md")))
    assert named
    async with httpx.AsyncClient(base_url=address) as http:
        await http.get("/nowhere")
        answer = await http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hello"}]})
        assert answer.status_code == 200
        # A request is counted behind its last byte, so the count may come a question later.
        for _ in range(100):
            metrics = (await http.get("/metrics")).text
            missing = {name for name in named if not re.search(rf"^{name}(_count)?(\{{| )", metrics, re.MULTILINE)}
            if not missing:
                break
    assert missing == set()
