"""Limits and budgets: rules, the state machine that decides, and its engines."""
