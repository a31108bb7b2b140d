"""What the server is configured with, in addition to the engine and the dialects."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from dragoman.core.messages import JSONObject
from dragoman.core.value_object import value_object
from dragoman.fetch.base import FetchMedia, leave_urls_to_api
from dragoman.runs.response_cache import RunCache
from dragoman.server.access import AccessBook
from dragoman.server.auth import ApiKey
from dragoman.server.body_budget import BodyBudget
from dragoman.server.idempotency import IdempotencyService
from dragoman.server.peers import Peers
from dragoman.server.stored.service import StoredResponseService
from dragoman.stores.crypto import KEY_BYTES, Cipher

if TYPE_CHECKING:
    from dragoman.server.live_turns import LiveTurns


@value_object(kw_only=True)
class ServerOptions:
    """The server's part of the settings.

    Attributes:
        host: The address to listen on. Its name is a valid `Host`.
        api_keys: The keys of the gateway; empty: no key is required.
        allow_hosts: Additional valid `Host` names.
        allow_origins: Web origins whose pages may use the gateway.
        open_models: Whether the list of models needs no key.
        max_request_bytes: The maximum size of a request body.
        bodies: The memory for large request bodies.
        heartbeat: Seconds of silence after which a stream gets a heartbeat.
        log_payloads: Whether requests and responses are logged, at debug.
        trace: Whether every event of a response is logged as well.
        traces: Whether spans of runs are sent: each request then has a trace.
        warnings_in_text: Whether a line in front of each response shows its warnings.
        agents: Whether agents may be started when there are no keys.
        fetch_media: Replaces the URLs of images and files in a request by their data.
        stored_responses: The stored responses; None: this gateway stores none.
        idempotency: Requests with an `Idempotency-Key`; None: they are refused.
        cache: The response cache; None: it is off.
        book: Keys and teams.
        zone: The time zone of budgets.
        turns: Which other process holds which conversation; None: every turn is answered where it came.
        cookies: Encrypts the cookies of people who are signed in to the dashboard.
    """

    host: str = "127.0.0.1"
    api_keys: tuple[ApiKey, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    open_models: bool = False
    max_request_bytes: int = 32 * 2**20
    bodies: BodyBudget = field(default_factory=lambda: BodyBudget(256 * 2**20))
    heartbeat: float = 15.0
    log_payloads: bool = False
    trace: bool = False
    traces: bool = False
    warnings_in_text: bool = False
    agents: bool = True
    fetch_media: FetchMedia = leave_urls_to_api
    stored_responses: StoredResponseService | None = None
    idempotency: IdempotencyService | None = None
    cache: RunCache | None = None
    book: AccessBook = field(default_factory=AccessBook)
    zone: tzinfo = UTC
    turns: "LiveTurns | None" = None
    cookies: Cipher = field(default_factory=lambda: Cipher(os.urandom(KEY_BYTES)))


@value_object
class Operations:
    """What the operator's endpoints ask the backend.

    Attributes:
        backend: The name of the backend.
        ready: Returns why a run would fail now; None if it would not.
        status: Returns authentication, processes and versions. Contains no secret.
        inquire: Returns what takes longer to find out.
        simulator: The address of the simulator that replaces Claude, if there is one.
        peers: The other workers of this gateway; None: this process is the whole gateway.
        failures: Returns why long-lived tasks and stores failed, by name. They recover, and need not affect a run.
        settings: Returns the settings, each as JSON with its name and value. Contains no secret.
    """

    backend: str
    ready: Callable[[], str | None]
    status: Callable[[], JSONObject]
    inquire: Callable[[], Awaitable[JSONObject]]
    simulator: str | None = None
    failures: Callable[[], Mapping[str, str]] = dict
    peers: Peers | None = None
    settings: Callable[[], Sequence[JSONObject]] = tuple
