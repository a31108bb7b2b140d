"""The fields at the top of the body."""

from dragoman.catalog import EFFORTS
from dragoman.simulator.call import Call
from dragoman.simulator.problem import refuse
from dragoman.simulator.shapes import list_of, number_of, object_of, text_of

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
