"""A scripted, strict Messages API on loopback, for trying and testing without an account."""
