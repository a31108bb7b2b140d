"""`/v1/messages`, Anthropic's own Messages API."""
