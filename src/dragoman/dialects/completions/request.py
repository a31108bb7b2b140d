"""What the text completions dialect remembers of a request until its answer is encoded.

A text completions request to canonical ones: each prompt is a user's message, with the order to go on from it.
"""

from collections.abc import Mapping

from dragoman.core.catalog import Catalog, Model
from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, Block, MessagesRequest
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DecodedRequest, DialectOptions
from dragoman.dialects.completions.schema import TextCompletionRequest
from dragoman.dialects.shared import validation
from dragoman.dialects.shared.agent_options import refuse_agent
from dragoman.dialects.shared.conversation import ConversationBuilder, text_blocks
from dragoman.dialects.shared.request_body import GenerationParams, Sampling, build_body
from dragoman.dialects.shared.tools import Toolbox
from dragoman.dialects.shared.validation import refuse_mapped_fields, resolve_model, warn_unknown_fields


@value_object(kw_only=True)
class CompletionRequest(DecodedRequest):
    """A text completions request, understood.

    Attributes:
        bodies: The canonical requests, one for each prompt.
        prompts: What is continued.
        echo: Whether each answer begins with its prompt.
        include_usage: Whether the stream ends with a chunk that holds the usage.
    """

    bodies: tuple[MessagesRequest, ...]
    prompts: tuple[str, ...]
    echo: bool = False
    include_usage: bool = False

    def body_for(self, choice: int) -> MessagesRequest:
        """The request of the prompt that a choice continues."""
        return self.bodies[self._prompt_of(choice)]

    def opening(self, choice: int) -> str:
        """What a choice's text begins with before the model has said anything."""
        return self.prompts[self._prompt_of(choice)] if self.echo else ""

    def _prompt_of(self, choice: int) -> int:
        """OpenAI counts all answers to the first prompt, then those to the second."""
        return choice // (self.choices // len(self.prompts))


DEFAULT_MAX_TOKENS = 16
"""OpenAI's own."""

MOST_ANSWERS = 64
"""Of all prompts together: each is a run of its own."""

INSTRUCTION = (
    "The user's message is the beginning of a text. Write what comes next and nothing else: no greeting, no comment, "
    "no repetition of the beginning, no code fence around it. Where the beginning is a question or an instruction, "
    "what comes next is the answer to it."
)
SUFFIX = "What you write will be followed by the text below. End so that it fits, and do not write it yourself.\n\n"

IGNORED: Mapping[str, tuple[JSON, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "seed": (),
}
"""Fields without an equivalent, and the values at which they mean nothing."""


def decode_completion(raw: bytes, catalog: Catalog, options: DialectOptions) -> CompletionRequest:
    """Understand a request body.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    data = validation.parse(raw)
    request = validation.typed(data, TextCompletionRequest)
    warnings: list[RequestWarning] = []
    warn_unknown_fields(data, request, options, warnings)
    prompts = _prompts(request)
    _refuse_unsupported(request, len(prompts), options)
    _note_ignored(request, warnings)
    refuse_agent(request.model)
    resolved = resolve_model(request.model, catalog, warnings)
    bodies = _bodies(request, prompts, resolved.model, warnings)
    refuse_mapped_fields(options, warnings)
    return CompletionRequest(
        body=bodies[0],
        bodies=bodies,
        prompts=prompts,
        resolved=resolved,
        stream=bool(request.stream),
        choices=len(prompts) * (request.n or 1),
        warnings=tuple(warnings),
        echo=bool(request.echo),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
    )


def _prompts(request: TextCompletionRequest) -> tuple[str, ...]:
    given = [request.prompt] if isinstance(request.prompt, str) else request.prompt
    if not given:
        raise InvalidRequest("There is no prompt in the list.", code="empty_prompt", param="prompt")
    prompts = [prompt for prompt in given if isinstance(prompt, str)]
    if len(prompts) < len(given):
        raise UnsupportedFeature("Claude does not know OpenAI's tokens; send the prompt as text.", param="prompt")
    for index, prompt in enumerate(prompts):
        if not text_blocks(prompt):
            param = "prompt" if isinstance(request.prompt, str) else f"prompt[{index}]"
            raise InvalidRequest("There is no text in the prompt.", code="empty_prompt", param=param)
    return tuple(prompts)


def _refuse_unsupported(request: TextCompletionRequest, prompts: int, options: DialectOptions) -> None:
    n = request.n or 1
    if request.logprobs is not None:
        raise UnsupportedFeature("Claude gives no log probabilities.", param="logprobs")
    if n > options.max_choices:
        raise InvalidRequest(f"`n` may be {options.max_choices} at most.", param="n")
    if n * prompts > MOST_ANSWERS:
        raise InvalidRequest(f"A request may ask for {MOST_ANSWERS} answers at most.", param="prompt")
    if request.best_of is not None and request.best_of < n:
        raise InvalidRequest("`best_of` may not be less than `n`.", param="best_of")
    if request.best_of is not None and request.best_of > n:
        raise UnsupportedFeature(
            "Claude gives no log probabilities, by which the best of several answers would be chosen.", param="best_of"
        )


def _note_ignored(request: TextCompletionRequest, warnings: list[RequestWarning]) -> None:
    for name, neutral in IGNORED.items():
        value = getattr(request, name)
        if value is not None and value not in neutral:
            warnings.append(RequestWarning("ignored", name, f"Claude has nothing like `{name}`."))
    if request.stream_options and request.stream_options.include_obfuscation:
        detail = "Chunks are as long as what is in them."
        warnings.append(RequestWarning("ignored", "stream_options.include_obfuscation", detail))
    if request.suffix:
        detail = "Claude has no mode for filling in; it was told in words what follows."
        warnings.append(RequestWarning("mapped", "suffix", detail))


def _bodies(
    request: TextCompletionRequest, prompts: tuple[str, ...], model: Model, warnings: list[RequestWarning]
) -> tuple[MessagesRequest, ...]:
    asked = _asked(request, model, warnings)
    # The rest would give the same notices again.
    return tuple(
        _body(request, prompt, asked, model, [] if index else warnings) for index, prompt in enumerate(prompts)
    )


def _body(
    request: TextCompletionRequest, prompt: str, asked: GenerationParams, model: Model, warnings: list[RequestWarning]
) -> MessagesRequest:
    turns = ConversationBuilder(model, warnings, "prompt")
    turns.instruct(_instructions(request), "prompt")
    turns.say(text_blocks(prompt), "prompt")
    turns.end("prompt")
    body = build_body(asked, turns, Toolbox(), model, warnings)
    if "thinking" in body:
        body["thinking"].pop("display", None)  # there is no place to show it
    return body


def _instructions(request: TextCompletionRequest) -> list[Block]:
    after = text_blocks(SUFFIX + request.suffix) if request.suffix else []
    return [*text_blocks(INSTRUCTION), *after]


def _asked(request: TextCompletionRequest, model: Model, warnings: list[RequestWarning]) -> GenerationParams:
    """The models of this endpoint did not think, so Claude does not either, or as little as it can."""
    return GenerationParams(
        max_tokens=_max_tokens(request, model, warnings),
        sampling=Sampling(request.temperature, request.top_p),
        stop=request.stop,
        effort="low" if model.always_thinks else "none",
        user=request.user,
    )


def _max_tokens(request: TextCompletionRequest, model: Model, warnings: list[RequestWarning]) -> int | None:
    if request.max_tokens is not None or not model.always_thinks:
        return request.max_tokens or DEFAULT_MAX_TOKENS
    detail = f"OpenAI's default of {DEFAULT_MAX_TOKENS} would be used up by thinking, which {model.name} always does."
    warnings.append(RequestWarning("ignored", "max_tokens", detail))
    return None
