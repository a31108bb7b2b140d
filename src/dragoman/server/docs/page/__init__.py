"""The page that shows the API: made from the OpenAPI document, whole in itself, so that it needs no network."""

from dragoman.server.docs.page.page import Page, page_of

__all__ = ["Page", "page_of"]
