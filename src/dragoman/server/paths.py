"""The paths that clients really send, mapped to the paths of the route table. Nothing is redirected.

Base URLs are written in many ways: with a slash at the end, with `/v1` twice or not at all, with the `/api` or
`/openai` of another provider. Azure's clients name the model in the path: `/openai/deployments/MODEL/chat/completions`.
"""

import re

from dragoman.core.value_object import value_object
from dragoman.server.routes import ROUTES

_PREFIXES = frozenset({"v1", "api", "openai", "anthropic"})
_EXACT_PATHS = frozenset(path for route in ROUTES for path in route.paths)
_VERSIONED_ROOTS = frozenset(route.path.split("/")[1] for route in ROUTES if route.versioned)
_DEPLOYMENT = re.compile(
    r"deployments/(?P<model>.+?)/(?P<rest>chat/completions|completions|embeddings|responses|messages)"
)
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@value_object
class KnownPath:
    """A path as the route table has it.

    Attributes:
        path: The path. One that no route has is only freed from doubled slashes.
        deployment: The model that the path names, if it does.
    """

    path: str
    deployment: str | None = None


def known_path(sent: str) -> KnownPath:
    """Return the path that a client means."""
    if sent in _EXACT_PATHS:
        return KnownPath(sent)
    segments = [segment for segment in sent.split("/") if segment]
    start = next((index for index, segment in enumerate(segments) if segment not in _PREFIXES), len(segments))
    rest, deployment = "/".join(segments[start:]), None
    if azure := _DEPLOYMENT.fullmatch(rest):
        rest, deployment = azure["rest"], azure["model"]
    if rest.partition("/")[0] in _VERSIONED_ROOTS:
        return KnownPath(f"/v1/{rest}" if start else f"/{rest}", deployment)
    return KnownPath("/" + "/".join(segments))


def has_control_character(path: str) -> bool:
    """Return whether a path contains a line break or the like. No route has one, and patterns may overlook it."""
    return _CONTROL_CHARACTER.search(path) is not None
