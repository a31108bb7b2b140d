"""The Claude Code runtime: warm processes, live conversations, replay."""
