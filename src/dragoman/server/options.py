"""What the server is told and what it is given, beside the engine and the codecs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dragoman.core.messages import JSONObject
from dragoman.fetch.base import FetchMedia, leave_urls_to_api
from dragoman.server.auth import ApiKey
from dragoman.server.responses.shelf import StoredResponseService


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The server's part of the settings.

    Attributes:
        host: The address that is listened on; its name is a valid `Host`.
        holders: Who may come in by which key; none lets everyone in who passes the other gates.
        allow_hosts: Further `Host` names.
        allow_origins: Web origins whose pages may use the gateway.
        open_models: Whether the list of models needs no key.
        max_request_bytes: Largest request body.
        heartbeat: Seconds of silence after which a stream gets a comment line.
        payloads: Whether what people write is logged, at debug.
        trace: Whether every event of an answer is logged as well.
        agents: Whether agents may be started where there are no keys.
        fill_media: Makes images and files that come by URL ready for the API.
        shelf: Where answers are kept, if any are.
    """

    host: str = "127.0.0.1"
    holders: tuple[ApiKey, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    open_models: bool = False
    max_request_bytes: int = 32 * 2**20
    heartbeat: float = 15.0
    payloads: bool = False
    trace: bool = False
    agents: bool = True
    fetch_media: FetchMedia = leave_urls_to_api
    shelf: StoredResponseService | None = None


@dataclass(frozen=True, slots=True)
class Operations:
    """What the operator's pages ask of the backend.

    Attributes:
        backend: The backend's name.
        ready: Why a run would fail now; None if it would not.
        status: Authentication, processes, versions. Holds no secret.
        inquire: What takes a moment to find out besides.
        simulator: The address of the simulator that stands in for Claude, if one does.
    """

    backend: str
    ready: Callable[[], str | None]
    status: Callable[[], JSONObject]
    inquire: Callable[[], Awaitable[JSONObject]]
    simulator: str | None = None
