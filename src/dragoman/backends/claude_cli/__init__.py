"""Claude through `claude -p`, one supervised process a run: for installations that the runtime backend does not fit.

A run's road: what the installation can do is read from its help (`abilities`), the request is put into words or refused
by name (`question`), the process is told and read (`run`), and what it printed is kept for a while (`output`).
"""

from dragoman.backends.claude_cli.backend import ClaudeCliBackend
from dragoman.backends.claude_cli.options import ClaudeCliOptions

__all__ = ["ClaudeCliBackend", "ClaudeCliOptions"]
