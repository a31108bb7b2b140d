"""Embedding models: a local model in a child process, or a remote service."""
