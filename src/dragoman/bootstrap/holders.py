"""Who may come in by which key."""

from dragoman.bootstrap.secrets import revealed
from dragoman.server import Holder
from dragoman.settings import BadSettings, Settings
from dragoman.settings.keys import OWNER


def holders_of(settings: Settings) -> tuple[Holder, ...]:
    """The owner of the gateway's one key, who operates it, and the clients that have keys of their own.

    Raises:
        BadSettings: A client's key is the one key.
    """
    owner = revealed(settings.api_key)
    held = {key.name: secret for key in settings.keys if (secret := revealed(key.api_key))}
    if same := next((name for name, key in held.items() if key == owner), None):
        raise BadSettings(f"the key `{same}` is the gateway's own (--api-key), too: give its client another one.")
    clients = [Holder(key.name, held[key.name].encode(), settings.agents and key.agents) for key in settings.keys]
    owners = [Holder(OWNER, owner.encode(), settings.agents, operator=True)] if owner else []
    return (*owners, *clients)
