"""Claude through the official Claude Code runtime, as it is: booted spares, replayed and live conversations.

A request's road: `backend` plans it (`plan`), takes a live conversation (`live`) or a spare process (`pool`),
configures it and replays what came before (`session`, `frames`), asks, and reads the answer (`turn`).
"""

from dragoman.backends.runtime.backend import RuntimeBackend
from dragoman.backends.runtime.options import RuntimeOptions

__all__ = ["RuntimeBackend", "RuntimeOptions"]
