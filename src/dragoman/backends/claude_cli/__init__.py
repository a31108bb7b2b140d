"""One `claude -p` process per run, for older installations."""
