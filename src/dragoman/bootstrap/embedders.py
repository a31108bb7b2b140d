"""What makes embeddings: a model on this machine, or another's endpoint."""

from dragoman.backends.base import Embedder
from dragoman.backends.embedders.absent import AbsentEmbedder
from dragoman.backends.embedders.local import LocalEmbedder, LocalOptions
from dragoman.backends.embedders.places import installed, place_of
from dragoman.bootstrap.secrets import revealed
from dragoman.settings import BadSettings, Settings


def embedder_for(settings: Settings) -> Embedder:
    """The embedder that the settings name.

    Raises:
        BadSettings: They do not say enough.
    """
    if settings.embeddings_url:
        return _remote_embedder(settings, settings.embeddings_url)
    place = place_of(settings.embeddings_model)
    if not installed():
        return AbsentEmbedder(place.name)
    options = LocalOptions(
        batch=settings.embeddings_batch,
        truncate=settings.embeddings_truncate,
        timeout=settings.embeddings_timeout,
        max_waiting=settings.max_queue_size,
    )
    return LocalEmbedder(place, options)


def _remote_embedder(settings: Settings, url: str) -> Embedder:
    from dragoman.backends.embedders.remote import RemoteEmbedder, RemoteOptions  # noqa: PLC0415 - its HTTP client is slow to import

    if "embeddings_model" not in settings.model_fields_set:
        raise BadSettings("embeddings_url (--embeddings-url) needs the name of a model there: --embeddings-model NAME.")
    options = RemoteOptions(
        url=url,
        model=settings.embeddings_model,
        key=revealed(settings.embeddings_api_key),
        batch=settings.embeddings_batch,
        truncate=settings.embeddings_truncate,
        timeout=settings.embeddings_timeout,
    )
    return RemoteEmbedder(options)
