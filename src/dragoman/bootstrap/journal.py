"""Where the records of runs are kept."""

from dragoman.runs.journal import Journal
from dragoman.settings import Settings
from dragoman.stores.sqlite import SQLiteRuns


def journal_for(settings: Settings) -> Journal:
    """The journal that the settings want."""
    if not settings.runs_kept:
        return Journal()
    path = settings.state_dir.expanduser() / "runs.db"
    store = SQLiteRuns(path, ttl=settings.runs_ttl, entries=settings.runs_kept)
    return Journal(store, content=settings.runs_content)
