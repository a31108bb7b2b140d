"""Where answers are kept, and what closes that which clients carry."""

import os
from contextlib import AsyncExitStack

import structlog

from dragoman.server import Jobs, Shelf
from dragoman.settings import Settings
from dragoman.stores.base import ArchiveLimits
from dragoman.stores.seal import KEY_BYTES, Seal
from dragoman.stores.sqlite import SQLiteArchive
from dragoman.wire.sealing import Vault

log = structlog.get_logger("dragoman.stores")


def shelf_for(settings: Settings, stack: AsyncExitStack) -> Shelf | None:
    """Where answers are kept, if they are to be.

    Args:
        settings: How long, and how much.
        stack: Closes it.
    """
    if not settings.store:
        return None
    limits = ArchiveLimits(ttl=settings.store_ttl, entries=settings.store_max_entries, size=settings.store_max_bytes)
    archive = SQLiteArchive(settings.state_dir.expanduser() / "answers.db", limits)
    stack.push_async_callback(archive.aclose)
    jobs = Jobs(archive)
    stack.push_async_callback(jobs.aclose)
    return Shelf(archive, jobs)


def vault_for(settings: Settings) -> Vault:
    """What closes that which clients carry: with the installation's key, so that any start of it can open it again."""
    folder = settings.state_dir.expanduser()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Vault(Seal.of_file(folder / "carried.key"))
    except OSError as error:
        log.warning("seal.forgotten", error=str(error), means="what clients are given now is nothing after a restart")
        return Vault(Seal(os.urandom(KEY_BYTES)))
