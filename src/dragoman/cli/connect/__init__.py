"""Settings for each known client."""
