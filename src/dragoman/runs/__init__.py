"""Runs: admission, execution, stored reasoning, records."""
