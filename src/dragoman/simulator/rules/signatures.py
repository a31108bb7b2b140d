"""Thinking blocks that come back: made here, unchanged, and on models that bind them in the same conversation."""

from collections.abc import Iterator
from dataclasses import dataclass

from dragoman.simulator.call import Call
from dragoman.simulator.prefix import Point
from dragoman.simulator.problem import refuse
from dragoman.simulator.shapes import object_of, text_of
from dragoman.simulator.signing import Binding, binding_in, binding_of

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
