"""A small HTTP/1.1 client, shared by all backends and the remote embedder. httptools parses."""
