"""Rules of thinking blocks that a client sends back: they are unchanged, and in their own conversation."""

from collections.abc import Iterator
from typing import NamedTuple

from dragoman.simulator.errors import invalid_request
from dragoman.simulator.json_values import object_of, text_of
from dragoman.simulator.prefix import HashedBlock
from dragoman.simulator.request import ApiRequest
from dragoman.simulator.signing import Binding, binding_for, read_binding

_BETA = "thinking-binding-controls-2026-08-01"
_TYPES = ("thinking", "redacted_thinking")


class Mismatch(NamedTuple):
    """A thinking block of another conversation.

    Attributes:
        path: Its JSON location.
        reason: The check that fails, as `input_transformations` names it.
    """

    path: str
    reason: str


def valid(request: ApiRequest) -> None:
    """The signature fits the text. The signature of redacted thinking is its data."""
    for block in _thinking_blocks(request):
        if _read_binding(block) is None:
            kind = text_of(block.content["type"])
            field = "`signature` in `thinking` block" if kind == "thinking" else "`data` in `redacted_thinking` block"
            raise invalid_request(f"{block.path}: Invalid {field}")


def same_conversation(request: ApiRequest) -> None:
    """Models that bind thinking refuse a moved block, unless the request asks to drop it."""
    control = request.thinking.get("block_binding")
    if control is not None and _BETA not in request.betas:
        kind = text_of(request.thinking.get("type"))
        raise invalid_request(f"thinking.{kind}.block_binding: Extra inputs are not permitted")
    if object_of(control).get("prefix_mismatch_behavior") == "drop_block":
        return
    for mismatch in mismatches(request):
        raise invalid_request(f"{mismatch.path}: The block is bound to a different conversation")


def mismatches(request: ApiRequest) -> Iterator[Mismatch]:
    """Yield the thinking blocks of another conversation, model or account."""
    if not request.model.bound_thinking:
        return
    for block in _thinking_blocks(request):
        binding = _read_binding(block)
        expected = binding_for(request.model, block.hash_before, request.credential)
        if binding is not None and binding != expected:
            yield Mismatch(block.path, _mismatch_reason(binding, expected))


def _mismatch_reason(binding: Binding, expected: Binding) -> str:
    if binding.account != expected.account:
        return "organization_binding_mismatch"
    if binding.model != expected.model:
        return "model_binding_mismatch"
    return "prefix_binding_mismatch"


def _read_binding(block: HashedBlock) -> Binding | None:
    content = block.content
    if content["type"] == "thinking":
        return read_binding(text_of(content["signature"]), text_of(content["thinking"]))
    return read_binding(text_of(content["data"]), "")


def _thinking_blocks(request: ApiRequest) -> Iterator[HashedBlock]:
    return (
        block for block in request.hashed_blocks if block.message_index >= 0 and block.content.get("type") in _TYPES
    )
