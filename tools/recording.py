"""Record the first minute with the gateway as an animated SVG for the README: part of `make screenshots`.

Runs real commands against a simulated gateway in an empty home directory, and draws what they print.
"""

import os
import pty
import socket
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path

import click

TARGET = Path(__file__).parents[1] / "docs" / "images" / "first-minute.svg"

_QUESTION = '{"messages": [{"role": "user", "content": "Count to 12"}]}'
_COMMANDS = (
    "dragoman serve --simulate --background",
    f"curl -s localhost:8787/v1/chat/completions \\\n    -d '{_QUESTION}' | jq .choices[0].message.content",
    "dragoman runs",
    "dragoman connect codex --raw",
)
_COLUMNS, _ROWS = 104, 26
_CHAR_WIDTH, _LINE_HEIGHT, _MARGIN = 7.83, 18, 18
_TYPING, _PAUSE, _LINE_DELAY, _HOLD = 0.9, 1.6, 0.06, 5.0
_STYLE = """
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#c9d1d9;white-space:pre}
.p{fill:#7ee787}.c{fill:#fff;font-weight:600}
@media(prefers-reduced-motion:reduce){*{animation:none!important}}
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A line on the screen.

    Attributes:
        at: When it appears, in seconds.
        text: Its text.
        is_command: Whether it was typed.
    """

    at: float
    text: str
    is_command: bool = False


def record(commands: tuple[str, ...]) -> list[Line]:
    """Run the commands in an empty home, and return what the screen shows."""
    lines: list[Line] = []
    now = 0.5
    with tempfile.TemporaryDirectory() as home:
        port = _free_port()
        names = [name for name in os.environ if name.startswith(("DRAGOMAN_", "ANTHROPIC_", "XDG_"))]
        inherited = {name: value for name, value in os.environ.items() if name not in names}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**inherited, "HOME": home, "PATH": path, "PORT": str(port), "COLUMNS": str(_COLUMNS)}
        environment |= {"TZ": "UTC", "NO_COLOR": "1", "TERM": "xterm"}
        try:
            for command in commands:
                printed = _run(command, home, port, environment)
                now += _TYPING
                first, *rest = command.split("\n")
                lines += [Line(now, first, is_command=True), *(Line(now, text) for text in rest)]
                for text in printed:
                    now += _LINE_DELAY
                    lines.append(Line(now, text))
                now += _PAUSE
        finally:
            _run("dragoman stop", home, port, environment)
    return lines


def draw(lines: list[Line]) -> str:
    """Return an SVG that shows the lines one after the other, and scrolls when the screen is full."""
    total = lines[-1].at + _HOLD
    width = round(_COLUMNS * _CHAR_WIDTH + 2 * _MARGIN)
    height = _ROWS * _LINE_HEIGHT + 2 * _MARGIN + 24
    rules, shown, steps = [], [], []
    for row, line in enumerate(lines):
        percent = 100 * line.at / total
        rules.append(f"@keyframes l{row}{{0%{{opacity:0}}{percent:.2f}%{{opacity:1}}}}")
        rules.append(f"#l{row}{{animation:l{row} {total:.1f}s step-end infinite}}")
        shown.append(f'<g id="l{row}">{_text(row, line)}</g>')
        if row >= _ROWS:
            steps.append(f"{percent:.2f}%{{transform:translateY({-(row - _ROWS + 1) * _LINE_HEIGHT}px)}}")
    last = -max(0, len(lines) - _ROWS) * _LINE_HEIGHT
    rules.append(f"@keyframes s{{0%{{transform:none}}{''.join(steps)}}}")
    rules.append(f"#s{{transform:translateY({last}px);animation:s {total:.1f}s step-end infinite}}")
    screen = f'<svg y="{_MARGIN + 16}" width="{width}" height="{_ROWS * _LINE_HEIGHT + 6}">'
    dots = "".join(f'<circle cx="{20 + 18 * n}" cy="17" r="5.5" fill="#484f58"/>' for n in range(3))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
        f"<title>The first minute with Dragoman: start it, send a request, list the runs</title>"
        f"<style>{_STYLE}{''.join(rules)}</style>"
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>{dots}'
        f'{screen}<g id="s">{"".join(shown)}</g></svg></svg>\n'
    )


def _text(row: int, line: Line) -> str:
    y = (row + 1) * _LINE_HEIGHT - 4
    if line.is_command:
        text = escape(_cut(line.text, _COLUMNS - 2))
        return f'<text x="{_MARGIN}" y="{y}"><tspan class="p">$ </tspan><tspan class="c">{text}</tspan></text>'
    return f'<text x="{_MARGIN}" y="{y}">{escape(_cut(line.text, _COLUMNS))}</text>'


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _run(command: str, home: str, port: int, environment: Mapping[str, str]) -> Iterator[str]:
    """Run a command in a terminal, and yield its lines as they are at the default port and in a usual home."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (_ROWS, _COLUMNS))
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(  # noqa: S602 - the fixed commands above
            command.replace(":8787", f":{port}"),
            shell=True,
            cwd=home,
            env=environment,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # how Linux reports the end of a terminal
            while part := screen.read(65_536):
                shown += part
        process.wait()
    text = shown.decode().replace(f":{port}", ":8787").replace(f"-{port}", "-8787").replace(home, "~")
    return iter(click.unstyle(text).splitlines())


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def main() -> None:
    """Write the recording."""
    svg = draw(record(_COMMANDS))
    TARGET.write_text(svg, encoding="utf-8")
    print(f"{len(svg) // 1024} KB in {TARGET}")


if __name__ == "__main__":
    main()
