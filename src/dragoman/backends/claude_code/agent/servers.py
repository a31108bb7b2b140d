"""MCP servers that a client adds to an agent: which definitions are valid, and the configuration for the runtime."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias, cast

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSONObject

Servers: TypeAlias = Mapping[str, Mapping[str, object]]
"""Definitions by name, as in configuration files of the Model Context Protocol."""

PARAM = "claude.mcp_servers"
"""The field of the request that holds the definitions."""

SECRET_VARIABLES = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
"""Variables of the runtime that no program it starts may see."""

_PROGRAM_FIELDS = frozenset({"type", "command", "args", "env"})
_URL_FIELDS = frozenset({"type", "url", "headers"})
_FIELDS_OF_TYPE: Mapping[object, frozenset[str]] = MappingProxyType(
    {None: _PROGRAM_FIELDS, "stdio": _PROGRAM_FIELDS, "http": _URL_FIELDS, "sse": _URL_FIELDS}
)
_FIELD_TYPES: Mapping[str, str] = MappingProxyType(
    {"args": "a list of strings", "env": "an object of strings", "headers": "an object of strings"}
)
"""The types of fields, for error messages. All other fields are strings."""

_VARIABLE = "${"
"""The start of a variable. The runtime would replace it with a value from its own environment, its key for example."""


def check_servers(servers: Servers) -> None:
    """Check that the runtime can read the definitions, and that they cannot reveal its environment.

    Raises:
        InvalidRequest: A definition is invalid. `param` names the server and its field.
    """
    for name, server in servers.items():
        _check_server(server, f"{PARAM}.{name}")


def configuration(servers: Servers, variables: Mapping[str, str]) -> JSONObject:
    """Return the content of the runtime's MCP configuration file.

    Args:
        servers: The definitions.
        variables: Further environment variables of servers that are programs. The runtime's own keys are removed from
            their environment, unless the client sets one itself.
    """

    def with_environment(server: Mapping[str, object]) -> Mapping[str, object]:
        if "command" not in server:
            return server
        own = cast("Mapping[str, str]", server.get("env") or {})
        return {**server, "env": {**dict.fromkeys(SECRET_VARIABLES, ""), **own, **variables}}

    return cast("JSONObject", {"mcpServers": {name: with_environment(server) for name, server in servers.items()}})


def _check_server(server: Mapping[str, object], param: str) -> None:
    kind = server.get("type")
    allowed = _FIELDS_OF_TYPE.get(kind) if isinstance(kind, str | None) else None
    if allowed is None:
        raise InvalidRequest(f"`{param}.type` must be `stdio`, `http` or `sse`.", param=f"{param}.type")
    if unknown := [key for key in server if key not in allowed]:
        raise InvalidRequest(
            f"Unknown parameter: `{param}.{unknown[0]}`. Such a server has {_join(allowed)}.",
            code="unknown_parameter",
            param=f"{param}.{unknown[0]}",
        )
    required = "url" if allowed is _URL_FIELDS else "command"
    if required not in server:
        raise InvalidRequest(
            f"Missing required parameter: `{param}.{required}`.",
            code="missing_required_parameter",
            param=f"{param}.{required}",
        )
    for key, value in server.items():
        if not _has_right_type(key, value):
            raise InvalidRequest(
                f"`{param}.{key}` must be {_FIELD_TYPES.get(key, 'a string')}.",
                code="invalid_type",
                param=f"{param}.{key}",
            )
    if any(_VARIABLE in text for text in _texts(server)):
        raise InvalidRequest(f"`{param}` must not contain variables (`{_VARIABLE}…}}`): write the values.", param=param)


def _has_right_type(key: str, value: object) -> bool:
    if key == "args":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if key in _FIELD_TYPES:
        return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    return isinstance(value, str)


def _texts(value: object) -> Iterator[str]:
    """Yield every string in a definition, keys included."""
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


def _join(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
