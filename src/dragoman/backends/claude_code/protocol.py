"""The runtime's command line and environment. Nothing of a request is ever on either.

The frames written to the runtime's stdin for a conversation.

Each user frame is `client_composed`: its text is delivered as written, no file is read and no command run for it.

What of a request goes into the runtime's settings, and what of it the runtime cannot pass on.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import msgspec

from dragoman import __version__
from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared import installation
from dragoman.core.catalog import Model
from dragoman.core.messages import (
    DEFAULT_REQUEST_OPTIONS,
    JSON,
    Block,
    JSONObject,
    Message,
    MessagesRequest,
    RequestOptions,
)
from dragoman.core.warnings import RequestWarning

SERVER_NAME = "gw"
"""The name under which the client's tools are served to the runtime."""

SHARED = (
    "--output-format",
    "stream-json",
    "--input-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    # No settings of the machine's or the directory's: they could allow more than the owner did, or run commands.
    "--setting-sources=",
    "--strict-mcp-config",
    "--no-session-persistence",
    "--disable-slash-commands",
)
"""What every process is started with, an agent's too."""

_FLAGS = (
    *SHARED,
    "--tools",
    "",
    "--allowedTools",
    f"mcp__{SERVER_NAME}",
)
_ONE_CALL_FLAGS = ("--max-budget-usd", "0.0000001")

_MARGIN = 60.0


def arguments(*, one_call: bool = False) -> tuple[str, ...]:
    """The command line behind the executable.

    Args:
        one_call: The process makes a single API call and is spent then.
    """
    return (*_FLAGS, *_ONE_CALL_FLAGS) if one_call else _FLAGS


def environment(options: ClaudeCodeOptions, outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of every runtime process."""
    return installation.environment(options, outer) | {
        "CLAUDE_AGENT_SDK_CLIENT_APP": f"dragoman/{__version__}",
        "CLAUDE_AGENT_SDK_MCP_NO_PREFIX": "1",
        "CLAUDE_CODE_DISABLE_THINKING": "1",
        # There it would write a log of each conversation that has tools, and never take one away.
        "XDG_CACHE_HOME": os.devnull,
        # A parked call ends with its process, which the gateway ends in time.
        "CLAUDE_CODE_SDK_MCP_TOOL_IDLE_TIMEOUT": _milliseconds(options.parked_ttl + _MARGIN),
        "MCP_TOOL_TIMEOUT": _milliseconds(options.parked_ttl + _MARGIN),
    }


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


_NO_USAGE: JSONObject = {"input_tokens": 0, "output_tokens": 0}


def user(content: Sequence[Block], *, ask: bool) -> JSONObject:
    """A user message; with `ask` the model is called, without it the message is only appended."""
    frame: JSONObject = {
        "type": "user",
        "message": {"role": "user", "content": list[JSON](content)},
        "parent_tool_use_id": None,
        "session_id": "default",
        "client_composed": True,
    }
    if not ask:
        frame["shouldQuery"] = False
    return frame


def assistant(content: Sequence[Block], model: str, number: int) -> JSONObject:
    """An assistant message of earlier, appended as it is. `number` tells it from the others of its conversation."""
    calls = any(block.get("type") == "tool_use" for block in content)
    return {
        "type": "assistant",
        "message": {
            "id": f"msg_replayed_{number}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": list[JSON](content),
            "stop_reason": "tool_use" if calls else "end_turn",
            "stop_sequence": None,
            "usage": dict(_NO_USAGE),
        },
        "parent_tool_use_id": None,
        "session_id": "default",
    }


def replay(messages: Sequence[Message], model: str) -> Iterator[list[JSONObject]]:
    """The batches that put a conversation into a fresh process; the last one asks.

    Write a batch, wait for its `result`, write the next: without the wait, assistant messages overtake the user
    messages that the runtime has queued. An assistant message travels with the user message behind it, which saves a
    wait. A conversation that ends with the assistant (a prefill) is asked by an empty user message, which the runtime
    leaves out of the request.
    """
    last = len(messages) - 1
    batch: list[JSONObject] = []
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            batch.append(assistant(message["content"], model, number))
        else:
            batch.append(user(message["content"], ask=number == last))
            yield batch
            batch = []
    if batch:
        yield [*batch, user([], ask=True)]


_NEVER_MERGED = frozenset({"system", "messages", "model", "metadata", "output_config"})
"""Top-level keys of a body that the runtime may not merge into its own: its identification is there, or they are set
otherwise. All others it merges as they are, also those that it has never heard of."""

_VERSION = "2023-06-01"
_OF_A_MESSAGE = frozenset({"role", "content"})


def settings_for(
    body: MessagesRequest, model: Model, request_options: RequestOptions = DEFAULT_REQUEST_OPTIONS
) -> JSONObject:
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
            "ANTHROPIC_BETAS": ",".join(request_options.betas),
            "CLAUDE_CODE_EXTRA_BODY": msgspec.json.encode(extra).decode(),
        },
    }
    if effort:
        settings["effortLevel"] = effort
    return settings


def unsupported_params(request: RunRequest) -> Iterator[RequestWarning]:
    """What the client said that does not reach the API, beside cache marks and the places of system messages."""
    if "metadata" in request.body:
        name = "metadata" if request.request_options.verbatim else "user"
        yield RequestWarning("ignored", name, "The Claude Code runtime sends its own metadata.")
    if request.request_options.version not in {None, _VERSION}:
        yield RequestWarning("ignored", "anthropic-version", f"The Claude Code runtime speaks {_VERSION}.")
    for place, message in enumerate(request.body["messages"]):
        for key in message.keys() - _OF_A_MESSAGE:
            yield RequestWarning(
                "ignored", f"messages[{place}].{key}", "The Claude Code runtime passes on content alone."
            )
