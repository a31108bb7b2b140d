"""What the Messages API refuses, one file per part of a request."""
