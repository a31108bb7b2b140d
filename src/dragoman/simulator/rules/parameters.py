"""The fields at the top of the body.

`temperature`, `top_p` and `top_k`: by model, API version and thinking.

The size of the context.

Cache marks.

Schemas that the model is held to.
"""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from dragoman.core.catalog import EFFORTS
from dragoman.core.messages import JSON, JSONObject
from dragoman.simulator.faults import refuse
from dragoman.simulator.json_values import list_of, number_of, object_of, objects_of, text_of
from dragoman.simulator.request import Call

_KNOWN = frozenset(
    {
        "cache_control",
        "container",
        "diagnostics",
        "inference_geo",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
_BETA = frozenset(
    {
        "compaction",
        "context_management",
        "fallback_credit_token",
        "fallbacks",
        "mcp_servers",
        "message_thread",
        "output_format",
        "user_profile_id",
    }
)
"""Fields that need a beta; which one is not checked, only that there is one."""

_MOST_STOPS = 8192


def known_fields(call: Call) -> None:
    """Unknown fields are refused, and those of a beta where no beta is named."""
    for name in call.body:
        if name not in _KNOWN and not (name in _BETA and call.betas):
            raise refuse(f"{name}: Extra inputs are not permitted")


def messages_given(call: Call) -> None:
    """There must be messages."""
    messages = call.body.get("messages")
    if messages is None:
        raise refuse("messages: Field required")
    if not isinstance(messages, list):
        raise refuse("messages: Input should be a valid list")
    if not messages:
        raise refuse("messages: at least one message is required")


def max_tokens(call: Call) -> None:
    """Required, positive, and within what the model can say. 0 only fills the cache."""
    if call.body.get("max_tokens") is None:
        raise refuse("max_tokens: Field required")
    asked = number_of(call.body["max_tokens"])
    if asked is None:
        raise refuse("max_tokens: Input should be a valid integer")
    if asked < 0:
        raise refuse("max_tokens: Input should be greater than or equal to 0")
    if asked > call.model.output_tokens:
        raise refuse(
            f"max_tokens: {asked} > {call.model.output_tokens}, which is the maximum allowed number of output tokens "
            f"for {call.model.id}"
        )


def stop_sequences(call: Call) -> None:
    """Strings that are not only white space."""
    stops = call.body.get("stop_sequences")
    if stops is not None and not isinstance(stops, list):
        raise refuse("stop_sequences: Input should be a valid list")
    if len(list_of(stops)) > _MOST_STOPS:
        raise refuse(f"stop_sequences: List should have at most {_MOST_STOPS} items")
    for place, stop in enumerate(list_of(stops)):
        if not isinstance(stop, str):
            raise refuse(f"stop_sequences.{place}: Input should be a valid string")
        if not stop.strip():
            raise refuse("stop_sequences: each stop sequence must contain non-whitespace")


def effort(call: Call) -> None:
    """`output_config.effort`, where the model knows it."""
    asked = object_of(call.body.get("output_config")).get("effort")
    if asked is None:
        return
    if asked not in EFFORTS:
        raise refuse("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    if not call.model.efforts:
        raise refuse("This model does not support the effort parameter.")
    if asked not in call.model.efforts:
        raise refuse(
            f"This model does not support effort level '{text_of(asked)}'. Supported levels: "
            f"{', '.join(call.model.efforts)}."
        )


def output_format(call: Call) -> None:
    """`output_config.format` is a JSON schema whose objects are closed."""
    config = object_of(call.body.get("output_config"))
    for name in config:
        if name not in ("effort", "format", "task_budget", "timing"):
            raise refuse(f"output_config.{name}: Extra inputs are not permitted")
    format_ = config.get("format")
    if format_ is None:
        return
    if object_of(format_).get("type") != "json_schema":
        raise refuse("output_config.format.type: Input should be 'json_schema'")
    schema = object_of(format_).get("schema")
    if not isinstance(schema, dict):
        raise refuse("output_config.format.schema: Field required")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise refuse(
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"
        )


_FIELDS = ("temperature", "top_p", "top_k")
_LEAST_TOP_P = 0.95


def ranges(call: Call) -> None:
    """Numbers within their ranges."""
    for name in ("temperature", "top_p"):
        value = call.body.get(name)
        if value is None:
            continue
        if not _is_number(value):
            raise refuse(f"{name}: Input should be a valid number")
        if not 0 <= value <= 1:  # type: ignore[operator]
            raise refuse(f"{name}: range: 0..1")
    top_k = call.body.get("top_k")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool)):
        raise refuse("top_k: Input should be a valid integer")


def taken(call: Call) -> None:
    """Newer models take only the defaults; the newest API version none at all; no model takes two at once."""
    for name in _FIELDS:
        value = call.body.get(name)
        if value is None:
            continue
        if call.newest_version:
            raise refuse(f"{name}: Extra inputs are not permitted")
        if not call.model.sampling and (name == "top_k" or value != 1):
            raise refuse(f"`{name}` is deprecated for this model.")
    if call.model.sampling and call.body.get("temperature") is not None and call.body.get("top_p") is not None:
        raise refuse("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")


def with_thinking(call: Call) -> None:
    """Thinking wants the default temperature."""
    if call.thinking.get("type") not in ("enabled", "adaptive"):
        return
    temperature, top_p = call.body.get("temperature"), call.body.get("top_p")
    if temperature not in (None, 1):
        raise refuse(
            "`temperature` may only be set to 1 when thinking is enabled. Please consult our documentation at "
            "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#important-considerations-when-using-"
            "extended-thinking"
        )
    if isinstance(top_p, int | float) and top_p < _LEAST_TOP_P:
        raise refuse(f"`top_p` must be greater than or equal to {_LEAST_TOP_P} or unset when thinking is enabled.")
    if call.body.get("top_k") is not None:
        raise refuse("`top_k` must be unset when thinking is enabled.")


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def context(call: Call) -> None:
    """The prompt fits the model.

    Prompt and `max_tokens` together may be more: models since 4.5 then stop with `model_context_window_exceeded`.
    """
    tokens, most = call.points[-1].tokens, call.model.context_tokens
    if tokens > most:
        raise refuse(f"prompt is too long: {tokens} tokens > {most} maximum")


_MOST = 4


def marks(call: Call) -> None:
    """At most four, of a known kind."""
    found = list(_marks(call))
    for mark in found:
        if mark.get("type") != "ephemeral":
            raise refuse("cache_control.type: Input should be 'ephemeral'")
        if mark.get("ttl") not in (None, "5m", "1h"):
            raise refuse("cache_control.ephemeral.ttl: Input should be '5m' or '1h'")
    if len(found) > _MOST:
        raise refuse(f"A maximum of {_MOST} blocks with cache_control may be provided. Found {len(found)}.")


def order(call: Call) -> None:
    """What is kept for an hour comes before what is kept for five minutes."""
    short = False
    for mark in _marks(call):
        if mark.get("ttl") == "1h" and short:
            raise refuse(
                "cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. "
                "Note that blocks are processed in the following order: `tools`, `system`, `messages`."
            )
        short = short or mark.get("ttl") != "1h"


def _marks(call: Call) -> Iterator[JSONObject]:
    for point in call.points:
        if point.mark:
            yield point.mark
        for inner in objects_of(point.content.get("content")):
            if mark := object_of(inner.get("cache_control")):
                yield mark
    if mark := object_of(call.body.get("cache_control")):
        yield mark


def circular(call: Call) -> None:
    """None refers to itself, in the format of the answer or in a strict tool."""
    for schema in _schemas(call):
        leads = {"#": {*_references(schema)}}
        while missing := {reference for found in leads.values() for reference in found} - leads.keys():
            leads |= {reference: {*_references(_at(schema, reference))} for reference in missing}
        try:
            TopologicalSorter(leads).prepare()
        except CycleError as error:
            names = " -> ".join(str(name).rpartition("/")[2] for name in error.args[1])
            raise refuse(
                f"Circular reference detected in schema definitions: {names}. Self-referencing or "
                "mutually-referencing definitions are not supported."
            ) from None


def _schemas(call: Call) -> Iterator[JSON]:
    config = object_of(call.body.get("output_config"))
    yield object_of(config.get("format")).get("schema")
    yield from (tool.get("input_schema") for tool in call.tools if tool.get("strict") is True)


def _references(value: JSON) -> Iterator[str]:
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _references(inner)
    if isinstance(value, dict) and isinstance(reference := value.get("$ref"), str):
        yield reference


def _at(schema: JSON, reference: str) -> JSONObject:
    place = object_of(schema)
    for step in reference.removeprefix("#").split("/")[1:]:
        place = object_of(place.get(step.replace("~1", "/").replace("~0", "~")))
    return place
