"""Request fields that the gateway does not support: refused by name, or ignored with a warning.

A field is refused if a response without it would be wrong.
"""

from collections.abc import Iterator, Mapping

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.responses.item_schema import InputImage
from dragoman.dialects.responses.schema import INCLUDE_ENCRYPTED_REASONING, INCLUDE_SEARCH_SOURCES, CreateResponse
from dragoman.dialects.shared.validation import IgnoredFields

_REFUSED: Mapping[str, str] = {
    "conversation": "Conversation objects are not supported. Use `previous_response_id` to continue a conversation.",
    "prompt": "Stored prompts are not supported. Send the prompt itself in `instructions` and `input`.",
}
_NO_STORE = "This gateway stores no responses (`--no-store`)."
_REFUSED_WITHOUT_STORE: Mapping[str, str] = {
    "previous_response_id": f"{_NO_STORE} Send the earlier items in `input`.",
    "background": f"{_NO_STORE} Stream the response instead.",
    "store": f"{_NO_STORE} Leave `store` out.",
}
_IGNORED = IgnoredFields(
    {
        "moderation": (),
        "context_management": ([],),
        "service_tier": ("auto", "default"),
        "prompt_cache_key": (),
        "prompt_cache_retention": (),
        "prompt_cache_options": ({},),
    }
)
"""Fields without an equivalent, each with the values that need no warning."""
_SILENT_INCLUDES = frozenset({INCLUDE_ENCRYPTED_REASONING, INCLUDE_SEARCH_SOURCES, "message.input_image.image_url"})
"""Values of `include` that need no warning: they are supported, or always included."""
_LOGPROBS_INCLUDE = "message.output_text.logprobs"
_NO_LOGPROBS = "Claude does not return log probabilities. Leave this out."


def refuse_unsupported(request: CreateResponse, *, can_store: bool) -> None:
    """Refuse fields that are not supported.

    Args:
        request: The request.
        can_store: Whether the gateway can store responses.

    Raises:
        UnsupportedFeature: A field is not supported; `param` names it.
        InvalidRequest: A background response must not be stored.
    """
    for name, detail in _REFUSED.items():
        if getattr(request, name) is not None:
            raise UnsupportedFeature(detail, param=name)
    for name, detail in _REFUSED_WITHOUT_STORE.items() if not can_store else ():
        if getattr(request, name):
            raise UnsupportedFeature(detail, param=name)
    if request.background and request.store is False:
        detail = "A background response must be stored. Leave `store` out, or set it to true."
        raise InvalidRequest(detail, param="store")
    if request.top_logprobs:
        raise UnsupportedFeature(_NO_LOGPROBS, param="top_logprobs")
    if _LOGPROBS_INCLUDE in (request.include or ()):
        index = (request.include or []).index(_LOGPROBS_INCLUDE)
        raise UnsupportedFeature(_NO_LOGPROBS, param=f"include[{index}]")


def ignored_field_warnings(request: CreateResponse, *, stored: bool) -> Iterator[RequestWarning]:
    """Warn of fields that have no effect.

    Args:
        request: The request.
        stored: Whether the response is stored.
    """
    yield from _IGNORED.warnings(request)
    if request.metadata and not stored:
        detail = "The response is not stored, so its metadata is only repeated in it."
        yield RequestWarning("ignored", "metadata", detail)
    if request.truncation == "auto":
        detail = "The gateway does not truncate input; input that is too long for the model is an error."
        yield RequestWarning("ignored", "truncation", detail)
    if request.stream_options and request.stream_options.include_obfuscation:
        detail = "The gateway does not pad the events of a stream."
        yield RequestWarning("ignored", "stream_options.include_obfuscation", detail)
    for index, value in enumerate(request.include or ()):
        if value not in _SILENT_INCLUDES:
            yield RequestWarning("ignored", f"include[{index}]", "This value of `include` is not supported.")
    yield from _image_detail_warnings(request)


def _image_detail_warnings(request: CreateResponse) -> Iterator[RequestWarning]:
    for index, item in enumerate(request.input if isinstance(request.input, list) else ()):
        field = "content" if hasattr(item, "content") else "output"
        parts = getattr(item, field, None)
        for part_index, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, InputImage) and part.detail not in (None, "auto"):
                param = f"input[{index}].{field}[{part_index}].detail"
                yield RequestWarning("ignored", param, "Claude reads every image in the same detail.")
