"""Ways to ask Claude."""
