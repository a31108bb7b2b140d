"""Checks each fact that the Claude Code backend relies on, against the simulator."""
