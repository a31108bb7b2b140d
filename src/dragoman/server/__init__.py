"""HTTP: routes, who may come in, and how answers leave. Knows no vendor and no backend."""

from dragoman.server.app import Dialects, build_app
from dragoman.server.catalog import LiveCatalog
from dragoman.server.embeddings import Embed
from dragoman.server.gates import Holder
from dragoman.server.keeping import Jobs, Shelf
from dragoman.server.options import Operations, Options

__all__ = ["Dialects", "Embed", "Holder", "Jobs", "LiveCatalog", "Operations", "Options", "Shelf", "build_app"]
