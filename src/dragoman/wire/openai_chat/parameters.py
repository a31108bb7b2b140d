"""Fields without an equivalent: refused by name where an answer without them would be wrong, else ignored, and said."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.messages import JSON
from dragoman.notices import Notice
from dragoman.wire.openai_chat.message_schema import (
    AssistantMessage,
    ChatMessage,
    ImagePart,
    ImageURL,
    ToolMessage,
    UserMessage,
)
from dragoman.wire.openai_chat.schema import ChatCompletionRequest
from dragoman.wire.options import WireOptions

IGNORED: Mapping[str, tuple[JSON, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "seed": (),
    "prediction": (),
    "moderation": (),
    "service_tier": ("auto", "default"),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "prompt_cache_options": ({},),
}
"""Fields without an equivalent, and the values at which they mean nothing."""

_WITHOUT_USE = frozenset({*IGNORED, "metadata"})
_WITH_PARTS = (UserMessage, ToolMessage)


def refuse_unsupported(request: ChatCompletionRequest, options: WireOptions) -> None:
    """Refuse what cannot be had.

    Raises:
        UnsupportedFeature: Log probabilities, audio, or to be kept where nothing is.
        InvalidRequest: More choices than the operator allows.
    """
    if request.logprobs or request.top_logprobs:
        param = "logprobs" if request.logprobs else "top_logprobs"
        raise UnsupportedFeature("Claude gives no log probabilities.", param=param)
    if request.store and not options.keeps:
        raise UnsupportedFeature("This gateway keeps nothing (`--no-store`). Leave `store` out.", param="store")
    if request.audio is not None or "audio" in (request.modalities or ()):
        param = "modalities" if request.audio is None else "audio"
        raise UnsupportedFeature("Claude speaks no audio.", param=param)
    for index, message in enumerate(request.messages):
        if isinstance(message, AssistantMessage) and message.audio is not None:
            raise UnsupportedFeature("Claude cannot hear what was said.", param=f"messages[{index}].audio")
    if (request.n or 1) > options.max_choices:
        raise InvalidRequest(f"`n` may be {options.max_choices} at most.", param="n")


def note_ignored(request: ChatCompletionRequest, sent: Collection[str], notices: list[Notice], *, kept: bool) -> None:
    """Say which fields do nothing here.

    Args:
        request: The request.
        sent: The names of the fields that are in it.
        notices: Where to say so.
        kept: Whether the completion is kept.
    """
    if not _WITHOUT_USE.isdisjoint(sent):
        _note_fields(request, notices, kept=kept)
    if request.stream_options and request.stream_options.include_obfuscation:
        detail = "Chunks are as long as what is in them."
        notices.append(Notice("ignored", "stream_options.include_obfuscation", detail))
    notices += _details(request.messages)


def _note_fields(request: ChatCompletionRequest, notices: list[Notice], *, kept: bool) -> None:
    for name, neutral in IGNORED.items():
        value = getattr(request, name)
        if value is not None and value not in neutral:
            notices.append(Notice("ignored", name, f"Claude has nothing like `{name}`."))
    if request.metadata and not kept:
        notices.append(Notice("ignored", "metadata", "It is kept with a completion that is kept: `store`."))


def _details(messages: Iterable[ChatMessage]) -> Iterator[Notice]:
    """Images whose size the client chose; only the API chooses it here."""
    for index, message in enumerate(messages):
        parts = message.content if isinstance(message, _WITH_PARTS) else None
        for place, part in enumerate(parts if isinstance(parts, list) else ()):
            link = part.image_url if isinstance(part, ImagePart) else None
            if isinstance(link, ImageURL) and link.detail not in (None, "auto"):
                param = f"messages[{index}].content[{place}].image_url.detail"
                yield Notice("ignored", param, "Claude looks at every image in the same detail.")
