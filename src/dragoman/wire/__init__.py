"""Dialects of clients, to and from the conversation and events of the core. Pure: no I/O, no framework."""
