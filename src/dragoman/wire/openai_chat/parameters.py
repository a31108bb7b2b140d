"""Fields without an equivalent: refused by name where an answer without them would be wrong, else ignored, and said."""

from collections.abc import Mapping

from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.messages import JSON
from dragoman.notices import Notice
from dragoman.wire.openai_chat.request import ChatOptions
from dragoman.wire.openai_chat.schema import ChatCompletionRequest

IGNORED: Mapping[str, tuple[JSON, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "seed": (),
    "prediction": (),
    "moderation": (),
    "verbosity": ("medium",),
    "service_tier": ("auto", "default"),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "prompt_cache_options": ({},),
}
"""Fields without an equivalent, and the values at which they mean nothing."""


def refuse_unsupported(request: ChatCompletionRequest, options: ChatOptions) -> None:
    """Refuse what cannot be had.

    Raises:
        UnsupportedFeature: Log probabilities or audio.
        InvalidRequest: More choices than the operator allows.
    """
    if request.logprobs or request.top_logprobs:
        param = "logprobs" if request.logprobs else "top_logprobs"
        raise UnsupportedFeature("Claude gives no log probabilities.", param=param)
    if request.audio is not None or "audio" in (request.modalities or ()):
        param = "modalities" if request.audio is None else "audio"
        raise UnsupportedFeature("Claude speaks no audio.", param=param)
    if (request.n or 1) > options.max_choices:
        raise InvalidRequest(f"`n` may be {options.max_choices} at most.", param="n")


def note_ignored(request: ChatCompletionRequest, notices: list[Notice]) -> None:
    """Say which fields do nothing here."""
    for name, neutral in IGNORED.items():
        value = getattr(request, name)
        if value is not None and value not in neutral:
            notices.append(Notice("ignored", name, f"Claude has nothing like `{name}`."))
