"""Agents: Claude Code at work with its own tools, a process for each run, within what the owner allows.

A run's road: `rules` say what of the wish is allowed, `command` makes the process, which works in a `workshop` of its
own; `permissions` answers what it asks, `turn` reads what it does, and `remains` ends whatever it leaves behind.
"""
