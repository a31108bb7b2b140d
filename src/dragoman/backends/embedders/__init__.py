"""Models that make vectors: a local one in a process of its own, or a remote endpoint."""
