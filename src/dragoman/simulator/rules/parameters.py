"""Rules of the body's fields: known fields, `max_tokens`, `stop_sequences`, effort, and the context window."""

from dragoman.core.catalog import EFFORTS
from dragoman.simulator.errors import invalid_request
from dragoman.simulator.json_values import int_of, list_of, object_of, text_of
from dragoman.simulator.request import ApiRequest

_KNOWN_FIELDS = frozenset(
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
_BETA_FIELDS = frozenset(
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
"""Fields that need a beta. Any beta is sufficient."""

_MAX_STOP_SEQUENCES = 8192


def known_fields(request: ApiRequest) -> None:
    """There are no unknown fields, and no fields of a beta without a beta."""
    for name in request.body:
        if name not in _KNOWN_FIELDS and not (name in _BETA_FIELDS and request.betas):
            raise invalid_request(f"{name}: Extra inputs are not permitted")


def max_tokens(request: ApiRequest) -> None:
    """`max_tokens` is required, not negative, and within the model's limit. 0 only fills the cache."""
    if request.body.get("max_tokens") is None:
        raise invalid_request("max_tokens: Field required")
    tokens = int_of(request.body["max_tokens"])
    if tokens is None:
        raise invalid_request("max_tokens: Input should be a valid integer")
    if tokens < 0:
        raise invalid_request("max_tokens: Input should be greater than or equal to 0")
    limit = request.model.output_tokens
    if tokens > limit:
        raise invalid_request(
            f"max_tokens: {tokens} > {limit}, which is the maximum allowed number of output tokens for "
            f"{request.model.id}"
        )


def stop_sequences(request: ApiRequest) -> None:
    """Stop sequences are strings with more than white space."""
    sequences = request.body.get("stop_sequences")
    if sequences is not None and not isinstance(sequences, list):
        raise invalid_request("stop_sequences: Input should be a valid list")
    if len(list_of(sequences)) > _MAX_STOP_SEQUENCES:
        raise invalid_request(f"stop_sequences: List should have at most {_MAX_STOP_SEQUENCES} items")
    for index, sequence in enumerate(list_of(sequences)):
        if not isinstance(sequence, str):
            raise invalid_request(f"stop_sequences.{index}: Input should be a valid string")
        if not sequence.strip():
            raise invalid_request("stop_sequences: each stop sequence must contain non-whitespace")


def effort(request: ApiRequest) -> None:
    """`output_config.effort` is known, and the model supports it."""
    level = object_of(request.body.get("output_config")).get("effort")
    if level is None:
        return
    if level not in EFFORTS:
        raise invalid_request("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    if not request.model.efforts:
        raise invalid_request("This model does not support the effort parameter.")
    if level not in request.model.efforts:
        raise invalid_request(
            f"This model does not support effort level '{text_of(level)}'. Supported levels: "
            f"{', '.join(request.model.efforts)}."
        )


def context_window(request: ApiRequest) -> None:
    """The prompt fits the context window.

    The prompt and `max_tokens` together can be larger. Models since 4.5 then stop with `model_context_window_exceeded`.
    """
    tokens, limit = request.hashed_blocks[-1].tokens_through, request.model.context_tokens
    if tokens > limit:
        raise invalid_request(f"prompt is too long: {tokens} tokens > {limit} maximum")
