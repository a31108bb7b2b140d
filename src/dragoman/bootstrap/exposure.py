"""What would give strangers the use of the owner's account, and is refused."""

from dragoman.server.gates.hosts import is_loopback
from dragoman.settings import BadSettings, Settings


def check_exposure(settings: Settings) -> None:
    """Refuse what would give strangers the use of the owner's account.

    Raises:
        BadSettings: With what to do instead.
    """
    if "*" in settings.allow_origin and not _keyed(settings):
        raise BadSettings(
            "allow_origin (--allow-origin) is `*`: every web page could use this gateway. Set a key: --api-key KEY."
        )
    if "*" in settings.allow_host and not _keyed(settings):
        raise BadSettings(
            "allow_host (--allow-host) is `*`: every web page could rebind its own name to this machine and use the "
            "gateway. Name the hosts, or set a key: --api-key KEY."
        )
    if is_loopback(settings.host):
        return
    if not _keyed(settings):
        raise BadSettings(
            f"host (--host) is {settings.host}, where others can reach it, and no key is set. Set one: "
            f"`dragoman serve --host {settings.host} --api-key KEY`, or DRAGOMAN_API_KEY or DRAGOMAN_API_KEY_FILE in "
            "the environment; or stay on 127.0.0.1."
        )
    if _signed_in(settings) and not settings.allow_remote_signed_in:
        raise BadSettings(
            f"signed_in (--signed-in) serves the account's owner alone, but host (--host) is {settings.host}, where "
            "others can reach it. Stay on 127.0.0.1; or, if nobody else will use it, say so: "
            "--allow-remote-signed-in."
        )


def _keyed(settings: Settings) -> bool:
    return bool(settings.api_key or settings.keys)


def _signed_in(settings: Settings) -> bool:
    return settings.signed_in or any(upstream.signed_in for upstream in settings.upstreams)
