"""Agents: Claude Code with its own tools, inside the rules of the operator."""
