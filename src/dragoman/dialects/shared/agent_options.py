"""Requests for an agent: the field `claude`, or a model's name that ends in `:agent`. Several dialects share this."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import DEFAULT_REQUEST_OPTIONS, AgentTask, MessagesRequest, RequestOptions
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.json_types import JSONObject
from dragoman.dialects.shared.validation import convert, unknown_fields

AGENT_SUFFIX = ":agent"
"""At the end of a model's name, it asks for an agent."""

_TOOL_NAME = re.compile("[A-Za-z]+")
_WORD_BOUNDARY = re.compile(r"(?<=[a-z])(?=[A-Z])")


class AgentFields(Struct):
    """The field `claude`, in snake case."""

    mode: Literal["agent", "chat"] | None = None
    working_directory: str | None = None
    permission_mode: Literal["default", "plan", "acceptEdits", "dontAsk", "bypassPermissions"] | None = None
    tools: list[str] | None = None
    add_dirs: list[str] | None = None
    mcp_servers: dict[Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")], JSONObject] | None = None
    max_turns: Annotated[int, Meta(ge=1)] | None = None
    max_budget_usd: Annotated[float, Meta(gt=0)] | None = None


class _Body(Struct):
    claude: AgentFields


def strip_agent_suffix(model: str | None) -> str | None:
    """Return the model's own name."""
    return (model.removesuffix(AGENT_SUFFIX) or None) if model else model


def parse_agent_options(model: str | None, field: JSONObject | None, warnings: list[RequestWarning]) -> RequestOptions:
    """Return what a request asks of an agent.

    Without `mode`, any other field asks for an agent: it means nothing else.

    Args:
        model: The model's name, as the client wrote it.
        field: The field `claude`.
        warnings: Receives a warning for each field without effect.

    Raises:
        InvalidRequest: A field of `claude` is unknown or invalid.
    """
    has_suffix = model is not None and model.endswith(AGENT_SUFFIX)
    if not field and not has_suffix:
        return DEFAULT_REQUEST_OPTIONS
    fields = _agent_fields(field or {})
    given = [name for name in fields.__struct_fields__ if name != "mode" and getattr(fields, name) is not None]
    if fields.mode == "chat":
        if has_suffix:
            raise InvalidRequest(
                f"`claude.mode` is `chat`, but a model's name that ends in `{AGENT_SUFFIX}` asks for an agent. "
                "Leave one of them out.",
                param="claude.mode",
            )
        warnings += [RequestWarning("ignored", f"claude.{name}", "It has an effect only on agents.") for name in given]
        return DEFAULT_REQUEST_OPTIONS
    if not (has_suffix or fields.mode or given):
        return DEFAULT_REQUEST_OPTIONS
    task = AgentTask(
        working_directory=fields.working_directory,
        permission_mode=fields.permission_mode or "default",
        tools=None if fields.tools is None else tuple(fields.tools),
        add_dirs=tuple(fields.add_dirs or ()),
        mcp_servers=fields.mcp_servers or {},
        max_turns=fields.max_turns,
        max_budget_usd=fields.max_budget_usd,
    )
    return RequestOptions(agent=task)


def refuse_agent(model: str | None) -> None:
    """Refuse a model's name that asks for an agent, at an endpoint without conversations.

    Raises:
        UnsupportedFeature: With the endpoints to use instead.
    """
    if model and model.endswith(AGENT_SUFFIX):
        raise UnsupportedFeature(
            "This endpoint has no agents. Use `/v1/chat/completions`, `/v1/responses` or `/v1/messages`.",
            param="model",
        )


def refuse_fields_with_agent(
    request_options: RequestOptions, fields: Mapping[str, object], body: MessagesRequest
) -> None:
    """Refuse what an agent does not support.

    Args:
        request_options: The request's options.
        fields: The values of the fields that an agent does not support, by name.
        body: The canonical request.

    Raises:
        UnsupportedFeature: Names the field.
    """
    if request_options.agent is None:
        return
    for name, value in fields.items():
        if value:
            raise UnsupportedFeature(
                f"An agent does not support `{name}`: it has its own tools, and gives one response in its own words. "
                f"Leave `{name}` out.",
                param=name,
            )
    if body["messages"][-1]["role"] == "assistant":
        raise UnsupportedFeature(
            "An agent cannot continue an assistant message; the last message must be the user's.",
            code="unsupported_prefill",
            param="messages",
        )


def _agent_fields(field: JSONObject) -> AgentFields:
    """Read the field `claude`, in snake case or camel case."""
    snake_case: JSONObject = {}
    for key, value in field.items():
        if (name := _WORD_BOUNDARY.sub("_", key).lower()) in snake_case:
            raise InvalidRequest(
                f"`claude.{name}` is given twice, in two spellings. Leave one out.", param=f"claude.{name}"
            )
        snake_case[name] = value
    data: JSONObject = {"claude": snake_case}
    body = convert(data, _Body)
    if unknown := unknown_fields(data, body):
        raise InvalidRequest(f"Unknown parameter: `{unknown[0]}`.", code="unknown_parameter", param=unknown[0])
    for index, tool in enumerate(body.claude.tools or ()):
        if not _TOOL_NAME.fullmatch(tool):
            # A permission rule in place of a name would allow more than the operator did.
            param = f"claude.tools[{index}]"
            raise InvalidRequest(
                f"`{param}` must be the name of a tool, such as `Bash`, not a permission rule. The operator sets the "
                "rules: `--allow-tool RULE`.",
                param=param,
            )
    return body.claude
