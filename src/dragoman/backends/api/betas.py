"""Features of a body that the API serves only where their beta is named.

Source: https://platform.claude.com/docs/en/api/beta-headers, and the types of the official SDK, 2.11.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import cast

from dragoman.messages import JSON, JSONObject, MessagesRequest

_OF_FIELD: Mapping[str, str] = MappingProxyType(
    {
        "context_management": "context-management-2025-06-27",
        "fallbacks": "server-side-fallback-2026-07-01",
        "fallback_credit_token": "fallback-credit-2026-07-01",
        "mcp_servers": "mcp-client-2025-11-20",
        "message_thread": "message-threads-2026-08-12",
        "diagnostics": "cache-diagnosis-2026-04-07",
        "user_profile_id": "user-profiles-2026-09-04",
    }
)
_OF_TOOL: Mapping[str, str] = MappingProxyType(
    {
        "advisor_": "advisor-tool-2026-03-01",
        "code_execution_20250522": "code-execution-2025-05-22",
        "computer_20241022": "computer-use-2024-10-22",
        "computer_20250124": "computer-use-2025-01-24",
        "computer_20251124": "computer-use-2025-11-24",
        "mcp_toolset": "mcp-client-2025-11-20",
    }
)
"""By the beginning of the tool's type."""

_FAST = "fast-mode-2026-02-01"
_FILES = "files-api-2025-04-14"
_SKILLS = "skills-2025-10-02"
_BINDING = "thinking-binding-controls-2026-08-01"
_BUDGET = "task-budgets-2026-03-13"
_MESSAGE_EFFORT = "mid-conversation-output-config-2026-07-01"

_TELLING = frozenset({*_OF_FIELD, "speed", "container", "thinking", "output_config", "tools"})
"""Fields that may need one. Most bodies have none of them."""
_STORED = frozenset({"container_upload", "document", "image"})
"""Blocks that may name a stored file."""


def betas_of(body: MessagesRequest) -> list[str]:
    """The betas that a body needs, each once."""
    return list(dict.fromkeys(_needed(cast("JSONObject", body))))


def _needed(body: JSONObject) -> Iterator[str]:
    if not _TELLING.isdisjoint(body):
        yield from _of_fields(body)
    for message in cast("MessagesRequest", body)["messages"]:
        if "output_config" in message:
            yield _MESSAGE_EFFORT
        for block in message["content"]:
            if block.get("type") in _STORED and _is_stored_file(block):
                yield _FILES


def _of_fields(body: JSONObject) -> Iterator[str]:
    for name in body:
        if beta := _OF_FIELD.get(name):
            yield beta
    if body.get("speed") == "fast":
        yield _FAST
    if "skills" in _object(body.get("container")):
        yield _SKILLS
    if "block_binding" in _object(body.get("thinking")):
        yield _BINDING
    if "task_budget" in _object(body.get("output_config")):
        yield _BUDGET
    for tool in _objects(body.get("tools")):
        yield from (beta for kind, beta in _OF_TOOL.items() if str(tool.get("type", "")).startswith(kind))


def _is_stored_file(block: JSONObject) -> bool:
    return block.get("type") == "container_upload" or _object(block.get("source")).get("type") == "file"


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _objects(value: JSON) -> Iterator[JSONObject]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
