"""A wish for an agent: the field `claude`, or a model's name that ends in `:agent`. Several dialects share it."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import DEFAULT_REQUEST_OPTIONS, AgentTask, MessagesRequest, RequestOptions
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared import validation
from dragoman.dialects.shared.json_types import JSONObject

SUFFIX = ":agent"
"""At the end of a model's name it asks for an agent."""

_NAME = re.compile("[A-Za-z]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


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


def plain_model(asked: str | None) -> str | None:
    """The model's own name."""
    return (asked.removesuffix(SUFFIX) or None) if asked else asked


def agent_terms(asked: str | None, field: JSONObject | None, warnings: list[RequestWarning]) -> RequestOptions:
    """What a request says of an agent.

    Without `mode` the other fields ask for one, too: they mean nothing else.

    Args:
        asked: The model's name, as the client wrote it.
        field: The field `claude`.
        warnings: Where to say what does nothing.

    Raises:
        InvalidRequest: A field of it is unknown or makes no sense.
    """
    if not field and not (asked and asked.endswith(SUFFIX)):
        return DEFAULT_REQUEST_OPTIONS
    fields = _fields(field or {})
    given = {key: value for key, value in _values(fields).items() if value is not None}
    named = bool(asked and asked.endswith(SUFFIX))
    if fields.mode == "chat" and named:
        raise InvalidRequest(f"A model's name that ends in `{SUFFIX}` asks for an agent.", param="claude.mode")
    if fields.mode == "chat":
        warnings += [RequestWarning("ignored", f"claude.{key}", "It is for agents alone.") for key in given]
        return DEFAULT_REQUEST_OPTIONS
    if not (named or fields.mode or given):
        return DEFAULT_REQUEST_OPTIONS
    return RequestOptions(agent=_task(fields))


def refuse_agent(asked: str | None) -> None:
    """Refuse a model's name that asks for an agent, where there is no conversation.

    Raises:
        UnsupportedFeature: With where to ask for one.
    """
    if asked and asked.endswith(SUFFIX):
        raise UnsupportedFeature(
            "Agents are asked for in conversations: at `/v1/chat/completions`, `/v1/responses` or `/v1/messages`.",
            param="model",
        )


def check_beside(request_options: RequestOptions, beside: Mapping[str, object], body: MessagesRequest) -> None:
    """Refuse what cannot be had of an agent.

    Args:
        request_options: What was asked for.
        beside: Fields of the request that do not go with an agent, by name, and what came in them.
        body: The canonical request.

    Raises:
        UnsupportedFeature: Names the field.
    """
    if request_options.agent is None:
        return
    for name, value in beside.items():
        if value:
            raise UnsupportedFeature(
                f"`{name}` does not go with an agent, which has tools of its own and answers once, in its own words. "
                "Leave it out.",
                param=name,
            )
    if body["messages"][-1]["role"] == "assistant":
        raise UnsupportedFeature(
            "An agent cannot continue an assistant message; the last message must be the user's.",
            code="unsupported_prefill",
            param="messages",
        )


def _fields(field: JSONObject) -> AgentFields:
    named: JSONObject = {}
    for key, value in field.items():
        if (name := _HUMP.sub("_", key).lower()) in named:
            raise InvalidRequest(f"`claude.{name}` is given twice, in two ways of writing it.", param=f"claude.{name}")
        named[name] = value
    data: JSONObject = {"claude": named}
    body = validation.typed(data, _Body)
    if unknown := validation.unknown_fields(data, body):
        raise InvalidRequest(f"Unknown parameter: `{unknown[0]}`.", code="unknown_parameter", param=unknown[0])
    for place, tool in enumerate(body.claude.tools or ()):
        _check_name(tool, f"claude.tools[{place}]")
    return body.claude


def _check_name(tool: str, param: str) -> None:
    """A rule in the place of a name would allow more than the owner did."""
    if not _NAME.fullmatch(tool):
        raise InvalidRequest(
            f"`{param}` must be the name of a tool, such as `Bash`, and no rule. What a tool may do without asking is "
            "for the gateway's owner to say: `--allow-tool RULE`.",
            param=param,
        )


def _values(fields: AgentFields) -> dict[str, object]:
    return {key: getattr(fields, key) for key in fields.__struct_fields__ if key != "mode"}


def _task(fields: AgentFields) -> AgentTask:
    return AgentTask(
        working_directory=fields.working_directory,
        permission_mode=fields.permission_mode or "default",
        tools=None if fields.tools is None else tuple(fields.tools),
        add_dirs=tuple(fields.add_dirs or ()),
        mcp_servers=fields.mcp_servers or {},
        max_turns=fields.max_turns,
        max_budget_usd=fields.max_budget_usd,
    )
