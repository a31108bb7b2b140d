"""Parts that several dialects use."""
