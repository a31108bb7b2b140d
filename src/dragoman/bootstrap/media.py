"""What fills in images and files that come by URL."""

from contextlib import AsyncExitStack

from dragoman.fetch import FillMedia, leave_to_api
from dragoman.settings import BadSettings, Settings


def fill_media_for(settings: Settings, stack: AsyncExitStack) -> FillMedia:
    """What the settings want done with them.

    Args:
        settings: From where, and how much.
        stack: Closes it.

    Raises:
        BadSettings: A host to fetch from makes no sense.
    """
    if settings.fetch_urls == ("off",):
        return leave_to_api
    from dragoman.fetch.fetcher import Fetcher, FetchOptions  # noqa: PLC0415 - its HTTP client is slow to import
    from dragoman.fetch.rules import Rules  # noqa: PLC0415 - the same

    try:
        rules = Rules(None if settings.fetch_urls == ("on",) else settings.fetch_urls)
    except ValueError as error:
        raise BadSettings(f"fetch_urls (--fetch-urls, DRAGOMAN_FETCH_URLS): {error}") from None
    fetcher = Fetcher(FetchOptions(rules, settings.fetch_timeout, settings.fetch_max_bytes))
    stack.callback(fetcher.close)
    return fetcher
