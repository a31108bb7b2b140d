"""State that outlives a request: protocols in `base`, one package per engine."""
