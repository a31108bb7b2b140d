"""How a client that is started by `dragoman run` finds the gateway: by environment variables, and by flags of its own.

Any client that reads the usual variables of OpenAI's or Anthropic's libraries needs nothing else. A few programs read
other variables, or flags; they are known by their name.
"""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import PurePath

from dragoman.cli.connect.client import KEY_VARIABLE, Target
from dragoman.cli.connect.coding_agents import AGENTS
from dragoman.core.value_object import value_object

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_PARTS = {client.name: client.parts for client in AGENTS}


@value_object
class _Additions:
    """What one program needs in addition.

    Attributes:
        arguments: Flags in front of those of the user.
        variables: Environment variables.
        without: Variables that it must not see.
    """

    arguments: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()


def launch_command(command: tuple[str, ...], target: Target) -> list[str]:
    """Return a client's command line, with the flags that it needs to use the gateway."""
    return [command[0], *_additions(command[0], target).arguments, *command[1:]]


def launch_environment(
    command: tuple[str, ...], target: Target, key: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a client.

    Args:
        command: The client's command line.
        target: The gateway.
        key: The key that the client sends.
        environment: The environment without the gateway. A key of another service in it is replaced, not sent here.
    """
    added = _additions(command[0], target)
    variables = {
        KEY_VARIABLE: key,
        "OPENAI_BASE_URL": target.base_url,
        "OPENAI_API_BASE": target.base_url,
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": target.address,
        "ANTHROPIC_AUTH_TOKEN": key,
        "ANTHROPIC_API_KEY": key,
        "ANTHROPIC_MODEL": target.model,
        **added.variables,
    }
    if any(environment.get(name) for name in _PROXIES):  # a proxy cannot reach this machine
        direct = ",".join(filter(None, (environment.get("no_proxy") or environment.get("NO_PROXY"), "127.0.0.1,::1")))
        variables |= {"no_proxy": direct, "NO_PROXY": direct}
    return {name: value for name, value in {**environment, **variables}.items() if name not in added.without}


def _additions(program: str, target: Target) -> _Additions:
    additions = _PROGRAMS.get(PurePath(program).name)
    return additions(target) if additions else _Additions()


def _codex(target: Target) -> _Additions:
    settings = tomllib.loads(_PARTS["codex"](target)[0].text)
    flags = [part for name, value in _flat(settings) for part in ("-c", f"{name}={json.dumps(value)}")]
    return _Additions(arguments=tuple(flags))


def _claude(_target: Target) -> _Additions:
    # It asks before it uses a key of this variable, and needs no other than the token.
    return _Additions(without=("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"))


def _opencode(target: Target) -> _Additions:
    return _Additions(variables={"OPENCODE_CONFIG_CONTENT": _PARTS["opencode"](target)[0].text})


def _aider(target: Target) -> _Additions:
    return _Additions(variables={"AIDER_MODEL": f"openai/{target.model}", "AIDER_SHOW_MODEL_WARNINGS": "false"})


_PROGRAMS: Mapping[str, Callable[[Target], _Additions]] = {
    "aider": _aider,
    "claude": _claude,
    "codex": _codex,
    "opencode": _opencode,
}


def _flat(settings: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield each value of nested settings with its dotted name."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
