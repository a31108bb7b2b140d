"""Servers of further tools, as a client names them: which are taken, and how the runtime is told of them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias, cast

from dragoman.backends.claude_code.agent.process_cleanup import MARK
from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSONObject

Servers: TypeAlias = Mapping[str, Mapping[str, object]]
"""By name, as the Model Context Protocol's configuration files hold them."""

SECRETS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
"""Variables of the runtime that nothing it starts has any business with."""

PARAM = "claude.mcp_servers"
"""Where they stand in a request."""

_PROGRAM = frozenset({"type", "command", "args", "env"})
_ADDRESS = frozenset({"type", "url", "headers"})
_KINDS: Mapping[object, frozenset[str]] = {None: _PROGRAM, "stdio": _PROGRAM, "http": _ADDRESS, "sse": _ADDRESS}
_VARIABLE = "${"
"""The runtime would put its own variables in the place of such words, its key among them."""


def check(servers: Servers) -> None:
    """Make sure that the runtime can read them, and gives nothing of its own away by them.

    Raises:
        InvalidRequest: Names the server, and the field of it.
    """
    for name, server in servers.items():
        _check(server, f"{PARAM}.{name}")


def configuration(servers: Servers, mark: str) -> JSONObject:
    """What the runtime's configuration file says of them.

    A program gets none of the runtime's keys, unless the client gives it one of its own, and carries the run's mark.
    """
    made = {name: _bare(server, mark) if "command" in server else server for name, server in servers.items()}
    return cast("JSONObject", {"mcpServers": made})


def _check(server: Mapping[str, object], param: str) -> None:
    allowed = _KINDS.get(server.get("type") if isinstance(server.get("type"), str | None) else "")
    if allowed is None:
        raise InvalidRequest(f"`{param}.type` may be `stdio`, `http` or `sse`.", param=f"{param}.type")
    if unknown := [key for key in server if key not in allowed]:
        raise InvalidRequest(
            f"Unknown parameter: `{param}.{unknown[0]}`. Such a server has {_listed(allowed)}.",
            code="unknown_parameter",
            param=f"{param}.{unknown[0]}",
        )
    _check_shape(server, param)
    if any(_VARIABLE in text for text in _texts(server)):
        raise InvalidRequest(f"`{param}` must not name variables (`{_VARIABLE}…}}`): write the values.", param=param)


def _check_shape(server: Mapping[str, object], param: str) -> None:
    needed = "url" if server.get("type") in {"http", "sse"} else "command"
    if needed not in server:
        raise InvalidRequest(
            f"Missing required parameter: `{param}.{needed}`.",
            code="missing_required_parameter",
            param=f"{param}.{needed}",
        )
    for key, value in server.items():
        if not _fits(key, value):
            wanted = {"args": "a list of strings", "env": "an object of strings", "headers": "an object of strings"}
            raise InvalidRequest(
                f"`{param}.{key}` must be {wanted.get(key, 'a string')}.", code="invalid_type", param=f"{param}.{key}"
            )


def _fits(key: str, value: object) -> bool:
    if key == "args":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if key in {"env", "headers"}:
        return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    return isinstance(value, str)


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _texts(item)
        case Mapping():
            for key, item in value.items():
                yield from _texts(key)
                yield from _texts(item)


def _bare(server: Mapping[str, object], mark: str) -> Mapping[str, object]:
    given = cast("Mapping[str, str]", server.get("env") or {})
    return {**server, "env": {**dict.fromkeys(SECRETS, ""), **given, MARK: mark}}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
