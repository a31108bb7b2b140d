"""Stored responses: jobs that create them, and the endpoints that read them."""
