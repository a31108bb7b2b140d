"""The directory for the gateway's own files."""

import errno
import os

from dragoman.settings import BadSettings, Settings, named


def make_state_dir(settings: Settings) -> None:
    """Have it, for the gateway's owner alone.

    Raises:
        BadSettings: It cannot be made, or not be written to.
    """
    folder = settings.state_dir.expanduser()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise BadSettings(f"{named('state_dir')}: {folder} cannot be used: {error.strerror}. Name another.") from None
