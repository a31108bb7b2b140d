"""Fields without an equivalent: refused by name where an answer without them would be wrong, else ignored, and said."""

from collections.abc import Iterator, Mapping

from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.messages import JSON
from dragoman.notices import Notice
from dragoman.wire.openai_responses.item_schema import InputImage
from dragoman.wire.openai_responses.schema import CreateResponse

ENCRYPTED = "reasoning.encrypted_content"
SOURCES = "web_search_call.action.sources"
INCLUDED = frozenset({ENCRYPTED, SOURCES})
"""The values of `include` that are acted on."""

IGNORED: Mapping[str, tuple[JSON, ...]] = {
    "moderation": (),
    "context_management": ([],),
    "service_tier": ("auto", "default"),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "prompt_cache_options": ({},),
}
"""Fields without an equivalent, and the values at which they mean nothing."""

UNKEPT: Mapping[str, str] = {
    "conversation": "There are no conversation objects; go on with `previous_response_id`.",
    "prompt": "There are no stored prompts; send the prompt itself in `instructions` and `input`.",
}
"""Fields that lead to what is not kept here."""
INCLUDED_ANYWAY = frozenset({"message.input_image.image_url"})
_STORE = "This gateway keeps nothing (`--no-store`)."
WITHOUT_STORE: Mapping[str, str] = {
    "previous_response_id": f"{_STORE} Send the earlier items in `input`.",
    "background": f"{_STORE} Stream the answer instead.",
    "store": f"{_STORE} Leave `store` out.",
}
"""Fields that need a store, and what to do without one."""


def refuse_unsupported(request: CreateResponse, *, keeps: bool) -> None:
    """Refuse what cannot be had.

    Args:
        request: The request.
        keeps: Whether responses can be kept.

    Raises:
        UnsupportedFeature: What is not kept, or log probabilities.
        InvalidRequest: An answer in the background that is not to be kept.
    """
    for name, said in UNKEPT.items():
        if getattr(request, name) is not None:
            raise UnsupportedFeature(said, param=name)
    for name, said in WITHOUT_STORE.items() if not keeps else ():
        if getattr(request, name):
            raise UnsupportedFeature(said, param=name)
    if request.background and request.store is False:
        raise InvalidRequest("A response in the background has to be kept: leave `store` out.", param="store")
    if request.top_logprobs:
        raise UnsupportedFeature("Claude gives no log probabilities.", param="top_logprobs")
    for index, value in enumerate(request.include or ()):
        if value == "message.output_text.logprobs":
            raise UnsupportedFeature("Claude gives no log probabilities.", param=f"include[{index}]")


def note_ignored(request: CreateResponse, notices: list[Notice], *, kept: bool) -> None:
    """Say which fields do nothing here.

    Args:
        request: The request.
        notices: Where to say it.
        kept: Whether the response is kept.
    """
    for name, neutral in IGNORED.items():
        value = getattr(request, name)
        if value is not None and value not in neutral:
            notices.append(Notice("ignored", name, f"Claude has nothing like `{name}`."))
    if request.metadata and not kept:
        detail = "Nothing is done with it but to repeat it in the response."
        notices.append(Notice("ignored", "metadata", detail))
    notices += _ignored(request)
    notices += _details(request)


def _ignored(request: CreateResponse) -> Iterator[Notice]:
    if request.truncation == "auto":
        yield Notice("ignored", "truncation", "Nothing is cut; what is too long for the model is refused.")
    if request.stream_options and request.stream_options.include_obfuscation:
        yield Notice("ignored", "stream_options.include_obfuscation", "Events are as long as what is in them.")
    for index, value in enumerate(request.include or ()):
        if value not in INCLUDED | INCLUDED_ANYWAY:
            yield Notice("ignored", f"include[{index}]", "There is nothing like this to include.")


def _details(request: CreateResponse) -> Iterator[Notice]:
    """Images whose size the client chose; only the API chooses it here."""
    for index, item in enumerate(request.input if isinstance(request.input, list) else ()):
        name = "content" if hasattr(item, "content") else "output"
        parts = getattr(item, name, None)
        for place, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, InputImage) and part.detail not in (None, "auto"):
                param = f"input[{index}].{name}[{place}].detail"
                yield Notice("ignored", param, "Claude looks at every image in the same detail.")
