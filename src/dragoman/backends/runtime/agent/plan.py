"""A canonical request, as an agent takes it."""

from dataclasses import replace
from typing import cast

from dragoman.backends.base import RunRequest
from dragoman.backends.runtime.plan import Plan, plan
from dragoman.messages import Message, MessagesRequest
from dragoman.notices import Notice
from dragoman.prefix import THINKING

_NOT_OF_AGENTS = frozenset({"max_tokens", "tools", "tool_choice"})


def agent_plan(request: RunRequest) -> Plan:
    """Plan an agent's run, as any other but for what would bound or bind a single call.

    Raises:
        GatewayError: As `dragoman.backends.runtime.plan.plan` does.
    """
    body = {key: value for key, value in request.body.items() if key not in _NOT_OF_AGENTS}
    # Thinking is valid only behind the very prompt that it was made behind, which an agent's is not.
    body["messages"] = [bare for message in request.body["messages"] if (bare := _without_thinking(message))["content"]]
    made = plan(replace(request, body=cast("MessagesRequest", body)))
    if "max_tokens" not in request.body:
        return made
    detail = "An agent's work is bounded by `claude.max_turns` and `claude.max_budget_usd` instead."
    return replace(made, notices=(*made.notices, Notice("ignored", "max_tokens", detail)))


def _without_thinking(message: Message) -> Message:
    content = [block for block in message["content"] if block.get("type") not in THINKING]
    return Message(role=message["role"], content=content)
