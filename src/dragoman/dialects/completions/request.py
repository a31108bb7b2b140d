"""Decode a text completions request: each prompt becomes a user message, with the instruction to continue it."""

from dragoman.core.catalog import Catalog, Model
from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import DEFAULT_REQUEST_OPTIONS, MessagesRequest
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DecodedRequest, DialectOptions
from dragoman.dialects.completions.schema import TextCompletionRequest
from dragoman.dialects.shared.agent_options import refuse_agent
from dragoman.dialects.shared.conversation import ConversationBuilder, text_blocks
from dragoman.dialects.shared.request_body import GenerationParams, Sampling, build_body
from dragoman.dialects.shared.response_shaping import with_shaping
from dragoman.dialects.shared.tools import Toolset
from dragoman.dialects.shared.unset_values import without_unset_values
from dragoman.dialects.shared.validation import (
    IgnoredFields,
    convert_known,
    parse_json,
    refuse_mapped_fields,
    resolve_model,
)

DEFAULT_MAX_TOKENS = 16
"""OpenAI's own default."""

MAX_CHOICES = 64
"""Of all prompts together: each choice is a run of its own."""

# Stored thinking is bound to these words: a change makes it invalid.
INSTRUCTION = (
    "The user's message is the beginning of a text. Write what comes next and nothing else: no greeting, no comment, "
    "no repetition of the beginning, no code fence around it. Where the beginning is a question or an instruction, "
    "what comes next is the answer to it."
)
SUFFIX_INSTRUCTION = (
    "What you write will be followed by the text below. End so that it fits, and do not write it yourself.\n\n"
)

IGNORED = IgnoredFields(
    {
        "frequency_penalty": (0,),
        "presence_penalty": (0,),
        "logit_bias": ({},),
        "seed": (),
    }
)
"""Fields without an equivalent, and the values at which they have no effect."""


@value_object(kw_only=True)
class CompletionRequest(DecodedRequest):
    """A decoded text completions request.

    Attributes:
        bodies: The canonical requests, one for each prompt.
        prompts: The prompts.
        echo: Whether each choice begins with its prompt.
        include_usage: Whether the stream ends with a chunk that holds the usage.
    """

    bodies: tuple[MessagesRequest, ...]
    prompts: tuple[str, ...]
    echo: bool = False
    include_usage: bool = False

    def body_for(self, choice: int) -> MessagesRequest:
        """Return the canonical request of a choice's prompt."""
        return self.bodies[self._prompt_index(choice)]

    def echoed_prompt(self, choice: int) -> str:
        """Return the text with which a choice begins, before the model's."""
        return self.prompts[self._prompt_index(choice)] if self.echo else ""

    def _prompt_index(self, choice: int) -> int:
        """Return the index of a choice's prompt: all choices of the first prompt come first."""
        return choice // (self.choices // len(self.prompts))


def decode_completion(raw: bytes, catalog: Catalog, options: DialectOptions) -> CompletionRequest:
    """Decode a request body.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    warnings: list[RequestWarning] = []
    data = without_unset_values(parse_json(raw, warnings), warnings)
    request = convert_known(data, TextCompletionRequest, options, warnings)
    prompts = _prompts(request)
    _refuse_unsupported(request, len(prompts), options)
    _warn_ignored(request, warnings)
    refuse_agent(request.model)
    resolved = resolve_model(request.model, catalog, warnings)
    params = _generation_params(request, resolved.model, warnings)
    # Other prompts would give the same warnings again.
    bodies = tuple(
        _body(request, prompt, params, resolved.model, [] if index else warnings)
        for index, prompt in enumerate(prompts)
    )
    if options.strict_mapping:
        refuse_mapped_fields(warnings)
    return CompletionRequest(
        body=bodies[0],
        bodies=bodies,
        prompts=prompts,
        resolved=resolved,
        stream=bool(request.stream),
        choices=len(prompts) * (request.n or 1),
        warnings=tuple(warnings),
        request_options=with_shaping(DEFAULT_REQUEST_OPTIONS, params, Toolset(), bodies[0]),
        echo=bool(request.echo),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
    )


def _prompts(request: TextCompletionRequest) -> tuple[str, ...]:
    given = [request.prompt] if isinstance(request.prompt, str) else request.prompt
    if not given:
        raise InvalidRequest("`prompt` is an empty list. Send at least one text.", code="empty_prompt", param="prompt")
    prompts = [prompt for prompt in given if isinstance(prompt, str)]
    if len(prompts) < len(given):
        raise UnsupportedFeature("Token ids are not supported. Send `prompt` as text.", param="prompt")
    for index, prompt in enumerate(prompts):
        if not text_blocks(prompt):
            param = "prompt" if isinstance(request.prompt, str) else f"prompt[{index}]"
            raise InvalidRequest(f"`{param}` is blank. Send some text.", code="empty_prompt", param=param)
    return tuple(prompts)


def _refuse_unsupported(request: TextCompletionRequest, prompts: int, options: DialectOptions) -> None:
    n = request.n or 1
    if request.logprobs is not None:
        raise UnsupportedFeature("Claude returns no log probabilities. Leave `logprobs` out.", param="logprobs")
    if n > options.max_choices:
        raise InvalidRequest(f"`n` may be at most {options.max_choices}.", param="n")
    if n * prompts > MAX_CHOICES:
        raise InvalidRequest(
            f"A request may ask for at most {MAX_CHOICES} completions, `n` times the number of prompts.", param="prompt"
        )
    if request.best_of is not None and request.best_of < n:
        raise InvalidRequest("`best_of` must be at least `n`.", param="best_of")
    if request.best_of is not None and request.best_of > n:
        raise UnsupportedFeature(
            "`best_of` is not supported: Claude returns no log probabilities to choose by. Leave it out.",
            param="best_of",
        )


def _warn_ignored(request: TextCompletionRequest, warnings: list[RequestWarning]) -> None:
    warnings += IGNORED.warnings(request)
    if request.stream_options and request.stream_options.include_obfuscation:
        detail = "The gateway does not pad the chunks of a stream."
        warnings.append(RequestWarning("ignored", "stream_options.include_obfuscation", detail))
    if request.suffix:
        detail = "Claude has no fill-in mode; the suffix was sent as an instruction."
        warnings.append(RequestWarning("mapped", "suffix", detail))


def _generation_params(
    request: TextCompletionRequest, model: Model, warnings: list[RequestWarning]
) -> GenerationParams:
    """Return the parameters. OpenAI's models of this endpoint do not think; Claude thinks as little as it can."""
    max_tokens: int | None = request.max_tokens or DEFAULT_MAX_TOKENS
    if request.max_tokens is None and model.always_thinks:
        max_tokens = None
        detail = f"OpenAI's default of {DEFAULT_MAX_TOKENS} is too small for {model.name}, which always thinks."
        warnings.append(RequestWarning("ignored", "max_tokens", detail))
    return GenerationParams(
        max_tokens=max_tokens,
        sampling=Sampling(request.temperature, request.top_p),
        stop=request.stop,
        effort="low" if model.always_thinks else "none",
        user=request.user,
    )


def _body(
    request: TextCompletionRequest, prompt: str, params: GenerationParams, model: Model, warnings: list[RequestWarning]
) -> MessagesRequest:
    conversation = ConversationBuilder(model, warnings, "prompt")
    suffix = text_blocks(SUFFIX_INSTRUCTION + request.suffix) if request.suffix else []
    conversation.add_instructions([*text_blocks(INSTRUCTION), *suffix], "prompt")
    conversation.add_user(text_blocks(prompt), "prompt")
    conversation.finish("prompt")
    body = build_body(params, conversation, Toolset(), model, warnings)
    if "thinking" in body:
        body["thinking"].pop("display", None)  # the response has no field for it
    return body
