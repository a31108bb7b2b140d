"""Settings: their definitions, their sources, and how they are loaded."""
