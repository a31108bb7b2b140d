"""What many nodes share in Redis or Valkey: it may be lost at any time."""
