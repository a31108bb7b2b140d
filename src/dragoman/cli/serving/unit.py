"""The text of a systemd user unit."""

from collections.abc import Sequence
from pathlib import Path

_MARGIN = 20
_UNIT = """\
# Written by `dragoman service install`; `dragoman service uninstall` removes it.
[Unit]
Description=Dragoman, an OpenAI-compatible gateway in front of Claude
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=exec
ExecStart={command}
EnvironmentFile=-{secrets}
WorkingDirectory={directory}
Restart=on-failure
RestartSec=2
# Another gateway has the port: to try again would not help.
RestartPreventExitStatus=3
# The gateway ends its own processes; whatever is left after its grace is ended with it.
KillMode=mixed
TimeoutStopSec={patience}
NoNewPrivileges=true
UMask=0077

[Install]
WantedBy=default.target
"""


def unit_text(command: Sequence[str], secrets: Path, directory: Path, grace: float) -> str:
    """The unit.

    Args:
        command: What is run.
        secrets: The file with variables that nobody else may read.
        directory: Where it was asked for. It is run there if `.env` stands there, else at home.
        grace: Seconds that running answers have to end.
    """
    return _UNIT.format(
        command=" ".join(map(_quoted, command)),
        secrets=_escaped(str(secrets)),
        directory=_escaped(str(directory)) if (directory / ".env").exists() else "%h",
        patience=int(grace) + _MARGIN,
    )


def _quoted(word: str) -> str:
    """One word of a command line, as systemd reads it."""
    word = _escaped(word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$"))
    return f'"{word}"' if any(letter in word for letter in " \t'\"\\;") or not word else word


def _escaped(text: str) -> str:
    """`%` begins what systemd fills in."""
    return text.replace("%", "%%")
