"""What of a request goes into the runtime's settings, and what of it the runtime cannot pass on."""

from collections.abc import Iterator
from typing import cast

import msgspec

from dragoman.backends.base import RunRequest
from dragoman.catalog import Model
from dragoman.messages import JSON, NO_TERMS, JSONObject, MessagesRequest, Terms
from dragoman.notices import Notice

_NEVER_MERGED = frozenset({"system", "messages", "model", "metadata", "output_config"})
"""Top-level keys of a body that the runtime may not merge into its own: its identification is there, or they are set
otherwise. All others it merges as they are, also those that it has never heard of."""

_VERSION = "2023-06-01"
_OF_A_MESSAGE = frozenset({"role", "content"})


def settings_for(body: MessagesRequest, model: Model, terms: Terms = NO_TERMS) -> JSONObject:
    """A request's parameters for `apply_flag_settings`.

    Every value is always given: what is left out would keep what an earlier turn had set.
    """
    extra: JSONObject = {key: cast("JSON", value) for key, value in body.items() if key not in _NEVER_MERGED}
    output = dict(cast("JSONObject", body.get("output_config") or {}))
    effort = output.get("effort") or model.default_effort
    if "format" in output and effort:
        output["effort"] = effort
    if output:
        extra["output_config"] = output
    settings: JSONObject = {
        "model": model.id,
        "env": {
            "ANTHROPIC_BETAS": ",".join(terms.betas),
            "CLAUDE_CODE_EXTRA_BODY": msgspec.json.encode(extra).decode(),
        },
    }
    if effort:
        settings["effortLevel"] = effort
    return settings


def left_behind(request: RunRequest) -> Iterator[Notice]:
    """What the client said that does not reach the API, beside cache marks and the places of system messages."""
    if "metadata" in request.body:
        name = "metadata" if request.terms.verbatim else "user"
        yield Notice("ignored", name, "The Claude Code runtime sends its own metadata.")
    if request.terms.version not in {None, _VERSION}:
        yield Notice("ignored", "anthropic-version", f"The Claude Code runtime speaks {_VERSION}.")
    for place, message in enumerate(request.body["messages"]):
        for key in message.keys() - _OF_A_MESSAGE:
            yield Notice("ignored", f"messages[{place}].{key}", "The Claude Code runtime passes on content alone.")
