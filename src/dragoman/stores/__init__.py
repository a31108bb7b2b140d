"""State that outlives a request: protocols in `base` and `run_records`, one package for each engine."""
