"""What every backend knows of Claude Code: where it is, how it is started, what it says and what went wrong."""
