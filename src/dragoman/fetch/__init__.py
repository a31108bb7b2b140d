"""Images and files that come by URL: fetched by the gateway, where its owner wants that, or left to the API.

A request's media are filled between its decoding and its run. `Fetcher`, in `dragoman.fetch.fetcher`, fetches; it is
not imported from here, since its HTTP client is wanted by few and slow to import.
"""

from dragoman.fetch.base import FillMedia
from dragoman.fetch.left import leave_to_api

__all__ = ["FillMedia", "leave_to_api"]
