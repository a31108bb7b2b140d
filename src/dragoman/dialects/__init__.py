"""API dialects: client JSON to canonical requests, and events back to client JSON. No I/O, no framework."""
