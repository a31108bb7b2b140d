"""The Messages API over HTTP."""
