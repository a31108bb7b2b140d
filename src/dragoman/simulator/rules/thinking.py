"""The `thinking` field, and thinking blocks in a tool loop.

Thinking blocks that come back: made here, unchanged, and on models that bind them in the same conversation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dragoman.simulator.cache_prefix import Point
from dragoman.simulator.faults import refuse
from dragoman.simulator.json_values import number_of, object_of, text_of
from dragoman.simulator.request import Call
from dragoman.simulator.rules.tools import turns
from dragoman.simulator.signing import Binding, binding_in, binding_of

_TYPES = ("adaptive", "between_tools", "disabled", "enabled")
_DISPLAYS = (None, "summarized", "omitted", "updates")
_LEAST_BUDGET = 1024
_DOCS = "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"


def type_taken(call: Call) -> None:
    """A type that the model takes, at this effort."""
    if not call.thinking:
        return
    kind = text_of(call.thinking.get("type"))
    if kind not in _TYPES:
        tags = ", ".join(f"'{tag}'" for tag in _TYPES)
        raise refuse(f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
    if call.thinking.get("display") not in _DISPLAYS:
        raise refuse(f"thinking.{kind}.display: Input should be 'summarized' or 'omitted'")
    if kind not in call.model.thinking:
        raise refuse(_not_taken(kind))
    if kind == "disabled" and call.effort in call.model.thinking_required_efforts:
        raise refuse(f'"thinking.type.disabled" is not supported for this model at effort "{call.effort}".')


def budget(call: Call) -> None:
    """At least 1024 tokens, and fewer than the answer may have."""
    if call.thinking.get("type") != "enabled":
        return
    tokens = number_of(call.thinking.get("budget_tokens"))
    if tokens is None:
        raise refuse("thinking.enabled.budget_tokens: Field required")
    if tokens < _LEAST_BUDGET:
        raise refuse(f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_LEAST_BUDGET}")
    most = number_of(call.body.get("max_tokens"))
    if most is not None and tokens >= most:
        raise refuse(
            "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
            f"{_DOCS}#max-tokens-and-context-window-size"
        )


def forced_tools(call: Call) -> None:
    """Manual thinking and forced tools exclude each other."""
    forced = object_of(call.body.get("tool_choice")).get("type") in ("any", "tool")
    if forced and call.thinking.get("type") == "enabled":
        raise refuse("Thinking may not be enabled when tool_choice forces tool use.")


def tool_loop(call: Call) -> None:
    """With manual thinking, the assistant's turn of an open tool loop, or a prefill, begins with its thinking."""
    if call.thinking.get("type") != "enabled":
        return
    spoken = [turn for turn in turns(call) if turn[0] != "system"]
    last_role, last = spoken[-1]
    if last_role == "user" and not any(block["type"] == "tool_result" for _, _, block in last):
        return
    looped = [blocks for role, blocks in spoken if role == "assistant"][-1:]
    for index, place, block in (blocks[0] for blocks in looped):
        if block["type"] not in ("thinking", "redacted_thinking"):
            raise refuse(
                f"messages.{index}.content.{place}.type: Expected `thinking` or `redacted_thinking`, but found "
                f"`{block['type']}`. When `thinking` is enabled, a final `assistant` message must start with a "
                "thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). We recommend you "
                "include thinking blocks from previous turns. To avoid this requirement, disable `thinking`. Please "
                f"consult our documentation at {_DOCS}"
            )


def _not_taken(kind: str) -> str:
    match kind:
        case "enabled":
            return (
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                '"output_config.effort" to control thinking behavior.'
            )
        case "disabled":
            return (
                '"thinking.type.disabled" is not supported for this model. Thinking defaults to adaptive mode when not '
                "specified."
            )
        case "adaptive":
            return "adaptive thinking is not supported on this model"
        case _:
            return f'"thinking.type.{kind}" is not supported for this model.'


_BETA = "thinking-binding-controls-2026-08-01"
_KINDS = ("thinking", "redacted_thinking")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A thinking block that belongs elsewhere.

    Attributes:
        path: Where it stands.
        reason: Which check it failed, as `input_transformations` name it.
    """

    path: str
    reason: str


def genuine(call: Call) -> None:
    """The signature fits the text. Redacted thinking carries its signature as its data."""
    for point in _thinking(call):
        if _binding(point) is None:
            kind = text_of(point.content["type"])
            what = "`signature` in `thinking` block" if kind == "thinking" else "`data` in `redacted_thinking` block"
            raise refuse(f"{_path(point)}: Invalid {what}")


def bound(call: Call) -> None:
    """On models that bind thinking, a moved block is refused, unless the request says to drop it."""
    control = call.thinking.get("block_binding")
    if control is not None and _BETA not in call.betas:
        kind = text_of(call.thinking.get("type"))
        raise refuse(f"thinking.{kind}.block_binding: Extra inputs are not permitted")
    if object_of(control).get("prefix_mismatch_behavior") == "drop_block":
        return
    for mismatch in mismatches(call):
        raise refuse(f"{mismatch.path}: The block is bound to a different conversation")


def mismatches(call: Call) -> Iterator[Mismatch]:
    """The thinking blocks that belong to another conversation, model or account."""
    if not call.model.bound_thinking:
        return
    for point in _thinking(call):
        found = _binding(point)
        expected = binding_of(call.model, point.before, call.credential)
        if found is not None and found != expected:
            yield Mismatch(_path(point), _reason(found, expected))


def _reason(found: Binding, expected: Binding) -> str:
    if found.account != expected.account:
        return "organization_binding_mismatch"
    if found.model != expected.model:
        return "model_binding_mismatch"
    return "prefix_binding_mismatch"


def _binding(point: Point) -> Binding | None:
    block = point.content
    if block["type"] == "thinking":
        return binding_in(text_of(block["signature"]), text_of(block["thinking"]))
    return binding_in(text_of(block["data"]), "")


def _thinking(call: Call) -> Iterator[Point]:
    return (point for point in call.points if point.message >= 0 and point.content.get("type") in _KINDS)


def _path(point: Point) -> str:
    return f"messages.{point.message}.content.{point.block}"
