"""The API as it tells of itself: as an OpenAPI document for programs, and as a page for people."""

from dragoman.server.docs.endpoints import Docs

__all__ = ["Docs"]
