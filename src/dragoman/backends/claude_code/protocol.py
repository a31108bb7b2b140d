"""What the runtime is given: its command line, its environment, its settings and the frames of a conversation.

Nothing of a request is on the command line or in the environment: other users of the machine can read both.
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

COMMON_FLAGS = (
    "--output-format",
    "stream-json",
    "--input-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    # No settings of the machine or the directory: they could allow more than the operator did, or run commands.
    "--setting-sources=",
    "--strict-mcp-config",
    "--no-session-persistence",
    "--disable-slash-commands",
)
"""The flags of every process, agents included."""

_FLAGS = (
    *COMMON_FLAGS,
    "--tools",
    "",
    "--allowedTools",
    f"mcp__{SERVER_NAME}",
    # With a sign-in and a client's tool named `Bash`, the runtime would add instructions for git commits to a message.
    # Commits are made by the client. The runtime's identification in the system prompt is not affected.
    "--settings",
    '{"attribution":{"commit":"","pr":""}}',
)
_ONE_CALL_FLAGS = ("--max-budget-usd", "0.0000001")

_PARKED_MARGIN = 60.0
"""Seconds by which the runtime's limits for a tool call exceed the gateway's own."""

_API_VERSION = "2023-06-01"

_NOT_MERGED = frozenset({"system", "messages", "model", "metadata", "output_config"})
"""Top-level keys of a body that the runtime must not merge into its own: they hold its identification, or are set
otherwise. The runtime merges all others as they are, unknown ones too."""

_MESSAGE_KEYS = frozenset({"role", "content"})


def arguments(*, one_call: bool = False) -> tuple[str, ...]:
    """Return the command line after the executable.

    Args:
        one_call: The process makes a single API call and is then spent.
    """
    return (*_FLAGS, *_ONE_CALL_FLAGS) if one_call else _FLAGS


def environment(options: ClaudeCodeOptions, outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of every runtime process."""
    call_timeout = str(int((options.parked_ttl + _PARKED_MARGIN) * 1000))
    variables = installation.environment(options, outer)
    direct = variables.get("NO_PROXY") or variables.get("no_proxy") or ""
    if direct != "*":
        # Blocked calls, and the requests of the gateway's own tests, go to loopback. No proxy may get them.
        direct = ",".join(filter(None, (direct, "127.0.0.1")))
    return variables | {
        "NO_PROXY": direct,
        "no_proxy": direct,
        "CLAUDE_AGENT_SDK_CLIENT_APP": f"dragoman/{__version__}",
        "CLAUDE_AGENT_SDK_MCP_NO_PREFIX": "1",
        "CLAUDE_CODE_DISABLE_THINKING": "1",
        # The runtime would write a log of each conversation with tools there, and never delete it.
        "XDG_CACHE_HOME": os.devnull,
        # A parked call ends with its process, which the gateway ends before these limits.
        "CLAUDE_CODE_SDK_MCP_TOOL_IDLE_TIMEOUT": call_timeout,
        "MCP_TOOL_TIMEOUT": call_timeout,
    }


def user_frame(content: Sequence[Block], *, query: bool) -> JSONObject:
    """Return the frame of a user message. With `query` the runtime calls the model; else it only appends the message.

    The frame is `client_composed`: the text is delivered as written, no file is read and no command is run for it.
    """
    frame: JSONObject = {
        "type": "user",
        "message": {"role": "user", "content": list[JSON](content)},
        "parent_tool_use_id": None,
        "session_id": "default",
        "client_composed": True,
    }
    if not query:
        frame["shouldQuery"] = False
    return frame


def assistant_message(content: Sequence[Block], model: str, index: int) -> JSONObject:
    """Return an earlier assistant message as the runtime keeps it. `index` makes its id unique in the conversation."""
    has_calls = any(block.get("type") == "tool_use" for block in content)
    return {
        "id": f"msg_replayed_{index}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list[JSON](content),
        "stop_reason": "tool_use" if has_calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def assistant_frame(content: Sequence[Block], model: str, index: int) -> JSONObject:
    """Return the frame of an earlier assistant message; see `assistant_message`."""
    return {
        "type": "assistant",
        "message": assistant_message(content, model, index),
        "parent_tool_use_id": None,
        "session_id": "default",
    }


def replay_batches(messages: Sequence[Message], model: str) -> Iterator[list[JSONObject]]:
    """Yield the batches of frames that put a conversation into a fresh process. The last batch calls the model.

    The caller writes a batch, waits for its `result`, and writes the next: without the wait, assistant messages
    overtake the user messages that the runtime has queued. An assistant message shares a batch with the next user
    message, which saves a wait. A conversation that ends with the assistant (a prefill) ends with an empty user
    message, which the runtime leaves out of the API request.
    """
    last = len(messages) - 1
    batch: list[JSONObject] = []
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            batch.append(assistant_frame(message["content"], model, index))
        else:
            batch.append(user_frame(message["content"], query=index == last))
            yield batch
            batch = []
    if batch:
        yield [*batch, user_frame([], query=True)]


def settings_for(
    body: MessagesRequest, model: Model, request_options: RequestOptions = DEFAULT_REQUEST_OPTIONS
) -> JSONObject:
    """Return a request's parameters for `apply_flag_settings`.

    Every value is always present: an omitted one would keep the value of an earlier turn.
    """
    extra_body: JSONObject = {key: cast("JSON", value) for key, value in body.items() if key not in _NOT_MERGED}
    output_config = dict(cast("JSONObject", body.get("output_config") or {}))
    effort = output_config.get("effort") or model.default_effort
    if "format" in output_config and effort:
        output_config["effort"] = effort
    if output_config:
        extra_body["output_config"] = output_config
    settings: JSONObject = {
        "model": model.id,
        "env": {
            "ANTHROPIC_BETAS": ",".join(request_options.betas),
            # With its experimental betas, the runtime repeats a call that the API refuses: silently, and without them.
            # Requests with betas of their own may need them, such as those for tools that Claude searches.
            "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS": "" if request_options.betas else "1",
            "CLAUDE_CODE_EXTRA_BODY": msgspec.json.encode(extra_body).decode(),
        },
    }
    if effort:
        settings["effortLevel"] = effort
    return settings


def unsupported_params(request: RunRequest) -> Iterator[RequestWarning]:
    """Yield a warning for each field that does not reach the API.

    Cache marks and moved system messages have warnings of their own in `translate`.
    """
    if "metadata" in request.body:
        name = "metadata" if request.request_options.verbatim else "user"
        yield RequestWarning("ignored", name, "The Claude Code runtime sends its own metadata.")
    if request.request_options.version not in {None, _API_VERSION}:
        yield RequestWarning("ignored", "anthropic-version", f"The Claude Code runtime uses {_API_VERSION}.")
    for index, message in enumerate(request.body["messages"]):
        for key in message.keys() - _MESSAGE_KEYS:
            yield RequestWarning(
                "ignored", f"messages[{index}].{key}", "The Claude Code runtime passes on only content."
            )
