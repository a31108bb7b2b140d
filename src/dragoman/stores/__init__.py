"""What outlives a request, behind protocols: one laptop has SQLite, many machines have something shared."""
