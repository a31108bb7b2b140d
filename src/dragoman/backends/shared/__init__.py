"""Parts that several backends use: child processes, the installed Claude Code, error mapping."""
