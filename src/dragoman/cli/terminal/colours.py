"""Whether a terminal is to be coloured. Where there is none, nothing is."""

import os


def wanted() -> bool:
    """Whether whoever sits there wants colours, and the terminal has them: https://no-color.org."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
