"""The models: what each accepts and rejects, and how names resolve to models.

Facts of September and October 2026, from the provider's documentation and migration guides
(https://platform.claude.com/docs/en/about-claude/models/overview). At run time the provider's list overrides them.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from dragoman.core.errors import NotFound
from dragoman.core.value_object import replace, value_object

Effort = Literal["low", "medium", "high", "xhigh", "max"]
EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
_UP_TO_HIGH: tuple[Effort, ...] = EFFORTS[:3]


@value_object
class Model:
    """One model.

    Attributes:
        id: The id for the API.
        family: The generation whose rules apply (`4.5`, ..., `5.5`).
        name: The display name.
        released: Publication date; the `created` of the OpenAI dialect.
        thinking: The `thinking.type` values that the API accepts.
        thinking_required_efforts: Efforts at which the API rejects `thinking: disabled`.
        efforts: The `output_config.effort` values that the API accepts, in increasing order; may be empty.
        default_effort: The effort if the request contains none.
        sampling: Whether `temperature`, `top_p` and `top_k` may differ from their defaults.
        forced_tools: Whether `tool_choice` may be `any` or `tool`.
        prefill: Whether the last message may be an assistant message.
        system_messages: Whether `messages` may contain messages with `role: system`.
        message_effort: Whether a message may contain `output_config`.
        bound_thinking: Whether a thinking block is valid only in the conversation that the model wrote it in.
        cacheable_tokens: The smallest prompt that the API caches, in tokens.
        context_tokens: The context window, in tokens.
        output_tokens: The maximum of `max_tokens`.
        max_images: Maximum number of images in one request.
    """

    id: str
    family: str
    name: str
    released: date
    thinking: frozenset[str]
    thinking_required_efforts: frozenset[Effort] = frozenset()
    efforts: tuple[Effort, ...] = ()
    default_effort: Effort | None = None
    sampling: bool = False
    forced_tools: bool = True
    prefill: bool = False
    system_messages: bool = False
    message_effort: bool = False
    bound_thinking: bool = False
    cacheable_tokens: int = 1024
    context_tokens: int = 1_000_000
    output_tokens: int = 128_000
    max_images: int = 600

    @property
    def always_thinks(self) -> bool:
        """Whether thinking cannot be turned off."""
        return "disabled" not in self.thinking


def _model_4_5(id_: str, name: str, released: date, **rules: object) -> Model:
    base = Model(
        id=id_,
        family="4.5",
        name=name,
        released=released,
        thinking=frozenset({"enabled", "disabled"}),
        sampling=True,
        prefill=True,
        context_tokens=200_000,
        output_tokens=64_000,
        max_images=100,
    )
    return replace(base, **rules)


def _model_5_5(id_: str, name: str, released: date, **rules: object) -> Model:
    base = Model(
        id=id_,
        family="5.5",
        name=name,
        released=released,
        thinking=frozenset({"adaptive"}),
        efforts=EFFORTS,
        default_effort="medium",
        forced_tools=False,
        system_messages=True,
        message_effort=True,
        bound_thinking=True,
        cacheable_tokens=512,
    )
    return replace(base, **rules)


def _model_4_6_to_5(id_: str, name: str, released: date, **rules: object) -> Model:
    """Return a model of the families 4.6 to 5: adaptive thinking that can be disabled, effort, no prefill."""
    base = Model(
        id=id_,
        family=".".join(id_.split("-")[2:]),
        name=name,
        released=released,
        thinking=frozenset({"adaptive", "disabled"}),
        efforts=EFFORTS,
        default_effort="high",
    )
    return replace(base, **rules)


_WITH_BUDGET = frozenset({"adaptive", "enabled", "disabled"})

MODELS: tuple[Model, ...] = (
    _model_5_5("claude-opus-5-5", "Claude Opus 5.5", date(2026, 9, 8)),
    _model_5_5(
        "claude-sonnet-5-5",
        "Claude Sonnet 5.5",
        date(2026, 9, 22),
        thinking=frozenset({"adaptive", "between_tools"}),
        default_effort="high",
    ),
    _model_5_5(
        "claude-haiku-5-5",
        "Claude Haiku 5.5",
        date(2026, 10, 6),
        thinking=frozenset({"adaptive", "disabled"}),
        thinking_required_efforts=frozenset({"xhigh", "max"}),
        forced_tools=True,
    ),
    _model_4_6_to_5(
        "claude-opus-5",
        "Claude Opus 5",
        date(2026, 6, 2),
        thinking_required_efforts=frozenset({"xhigh", "max"}),
        system_messages=True,
        cacheable_tokens=512,
    ),
    _model_4_6_to_5("claude-sonnet-5", "Claude Sonnet 5", date(2026, 6, 2)),
    _model_4_6_to_5("claude-opus-4-8", "Claude Opus 4.8", date(2026, 4, 28), system_messages=True),
    _model_4_6_to_5("claude-opus-4-7", "Claude Opus 4.7", date(2026, 4, 2)),
    _model_4_6_to_5(
        "claude-opus-4-6",
        "Claude Opus 4.6",
        date(2026, 2, 4),
        thinking=_WITH_BUDGET,
        sampling=True,
        context_tokens=200_000,
        max_images=100,
        cacheable_tokens=4096,
    ),
    _model_4_6_to_5(
        "claude-sonnet-4-6",
        "Claude Sonnet 4.6",
        date(2026, 2, 17),
        thinking=_WITH_BUDGET,
        sampling=True,
        context_tokens=200_000,
        max_images=100,
    ),
    _model_4_5(
        "claude-opus-4-5",
        "Claude Opus 4.5",
        date(2025, 11, 1),
        efforts=_UP_TO_HIGH,
        default_effort="high",
        cacheable_tokens=4096,
    ),
    _model_4_5("claude-sonnet-4-5", "Claude Sonnet 4.5", date(2025, 9, 29)),
    _model_4_5("claude-haiku-4-5", "Claude Haiku 4.5", date(2025, 10, 1), cacheable_tokens=4096),
)
"""The newest family first; within a family by tier."""

ALIASES: Mapping[str, str] = {
    "opus": "claude-opus-5-5",
    "sonnet": "claude-sonnet-5-5",
    "haiku": "claude-haiku-5-5",
    "claude-opus": "claude-opus-5-5",
    "claude-sonnet": "claude-sonnet-5-5",
    "claude-haiku": "claude-haiku-5-5",
}

_FIRST_GENERATIONS = ("1", "1.0", "1.1", "1.2", "1.3", "1.3-100k", "v1", "v1.3", "2", "2.0", "2.1", "v2")
_INSTANT_GENERATIONS = ("instant", "instant-1", "instant-1.1", "instant-1.1-100k", "instant-1.2", "instant-v1")

RETIRED: Mapping[str, str] = {
    **{f"claude-{generation}": "claude-sonnet-5-5" for generation in _FIRST_GENERATIONS},
    **{f"claude-{generation}": "claude-haiku-5-5" for generation in _INSTANT_GENERATIONS},
    "claude-3-opus": "claude-opus-5-5",
    "claude-3-sonnet": "claude-sonnet-5-5",
    "claude-3-haiku": "claude-haiku-5-5",
    "claude-3-5-sonnet": "claude-sonnet-5-5",
    "claude-3-5-haiku": "claude-haiku-5-5",
    "claude-3-7-sonnet": "claude-sonnet-5-5",
    "claude-opus-4": "claude-opus-5-5",
    "claude-opus-4-1": "claude-opus-5-5",
    "claude-sonnet-4": "claude-sonnet-5-5",
}
"""Retired ids, without their dates, and their successors. Old examples contain them."""

_DATED = re.compile(r"(?P<id>claude-.+?)-(?:\d{8}|latest)")
_TIER = re.compile(r"claude-(?P<tier>opus|sonnet|haiku)-")
_PROVIDER = re.compile(r"(?:(?:anthropic|openrouter|bedrock|vertex_ai)/)*(?:anthropic:|(?:[a-z]+\.)?anthropic\.)?")
_SUFFIX = re.compile(r"(?:\[1m\]|:latest|-v\d+(?::\d+)?)$")
_VERSION_DOT = re.compile(r"(?<=\d)\.(?=\d)")
_VERSION_FIRST = re.compile(r"claude-(?P<version>\d(?:-\d{1,2})?)-(?P<tier>opus|sonnet|haiku)(?P<rest>.*)")
LONG_CONTEXT_SUFFIX = "[1m]"
"""At the end of a name, it asks for a context window of a million tokens, as Claude Code writes it."""
LONG_CONTEXT_TOKENS = 1_000_000


MODEL_LIST_ENDPOINT = "`GET /v1/models`"
"""The endpoint that lists the models, as errors name it."""


@value_object
class Resolved:
    """The model that a name resolves to.

    Attributes:
        model: The model. Its `id` is sent to the API.
        requested_name: The name as the client wrote it.
        successor_of: The retired id that was mapped to this model; None if the name is not retired.
    """

    model: Model
    requested_name: str
    successor_of: str | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """The models that clients can request.

    Attributes:
        models: The models that `/v1/models` lists.
        aliases: The operator's own aliases, in addition to the built-in ones.
        default: The name that is used if the client sent none.
        map_retired: Whether a retired id resolves to its successor. Otherwise it is refused.
        offered: The ids in the provider's own list; None: no complete list is known.
    """

    models: tuple[Model, ...] = MODELS
    aliases: Mapping[str, str] = field(default_factory=dict)
    default: str = "sonnet"
    map_retired: bool = False
    offered: frozenset[str] | None = None
    _by_exact_id: Mapping[str, Model] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_exact_id", {model.id: model for model in self.models})

    def resolve(self, requested: str | None) -> Resolved:
        """Return the model that a name resolves to, in any of the spellings that clients use.

        Raises:
            NotFound: `model_not_found`. The message contains similar names, or the successor of a retired id.
        """
        name = requested or self.default
        for target in self._targets(name):
            if model := self._by_id(target):
                return Resolved(model, name)
            if successor := _successor(target):
                return self._resolve_retired(name, target, successor)
        raise NotFound(self._unknown_message(name), code="model_not_found", param="model")

    def _targets(self, name: str) -> Iterator[str]:
        """Yield the ids that a name may mean. An alias may name a built-in alias, but not another of the operator."""
        for spelling in _spellings(name):
            own = self.aliases.get(spelling)
            for target in (spelling,) if own is None else _spellings(own):
                yield ALIASES.get(target, target)

    def _resolve_retired(self, name: str, retired: str, successor: str) -> Resolved:
        if self.map_retired and (model := self._by_id(successor)):
            return Resolved(model, name, successor_of=retired)
        raise NotFound(
            f"The model `{name}` was retired by its provider. Use `{successor}`, or start the gateway with "
            "`--map-retired-models`.",
            code="model_not_found",
            param="model",
        )

    @property
    def listed(self) -> tuple[Model, ...]:
        """The models to list: those that the provider's own list has, too. Its ids may have a date."""
        if self.offered is None:
            return self.models
        undated = {dated["id"] for id_ in self.offered if (dated := _DATED.fullmatch(id_))}
        return tuple(model for model in self.models if model.id in self.offered | undated)

    def with_live(self, listed: Iterable[tuple[str, str]]) -> "Catalog":
        """Return a catalog with the provider's current ids and names. Unknown models get the newest rules."""
        models = {model.id: model for model in self.models}
        for id_, name in listed:
            rules = models.get(id_) or self._by_id(id_) or _by_newest_rules(id_, name)
            if rules:
                models[id_] = replace(rules, id=id_, name=name or rules.name)
        return replace(self, models=tuple(models.values()))

    def restricted_to(self, names: Iterable[str]) -> "Catalog":
        """Return a catalog with these models only.

        Raises:
            NotFound: One of the names is unknown.
        """
        return replace(self, models=tuple(self.resolve(name).model for name in names))

    def _by_id(self, id_: str) -> Model | None:
        if model := self._by_exact_id.get(id_):
            return model
        dated = _DATED.fullmatch(id_)
        undated = self._by_exact_id.get(dated["id"]) if dated else None
        return undated if undated is None or id_.endswith("-latest") else replace(undated, id=id_)

    def _unknown_message(self, name: str) -> str:
        names = [*self.aliases, *ALIASES, *(model.id for model in self.models)]
        similar = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        hint = f" Did you mean {', '.join(f'`{n}`' for n in similar)}?" if similar else ""
        return f"The model `{name}` does not exist.{hint} {MODEL_LIST_ENDPOINT} lists the models."


def _spellings(name: str) -> Iterator[str]:
    """Yield a name as it is, then as the provider would write it.

    Examples: `anthropic/claude-sonnet-4.5`, `Claude-Opus-5[1m]`, `claude-4.5-sonnet`, `sonnet:latest`,
    `us.anthropic.claude-haiku-4-5-20251001-v1:0`, `claude-opus-4-5@20251101`.
    """
    yield name
    plain = name.strip().lower()
    plain = _SUFFIX.sub("", _PROVIDER.sub("", plain, count=1)).replace("@", "-")
    yield plain
    yield (hyphens := _VERSION_DOT.sub("-", plain))
    if match := _VERSION_FIRST.fullmatch(hyphens):
        yield f"claude-{match['tier']}-{match['version']}{match['rest']}"


def _successor(id_: str) -> str | None:
    dated = _DATED.fullmatch(id_)
    return RETIRED.get(dated["id"] if dated else id_)


def _by_newest_rules(id_: str, name: str) -> Model | None:
    """Return an unknown model with the rules of the newest of its tier, or of the newest model if the tier is new."""
    if not id_.startswith("claude-"):
        return None
    tier = _TIER.match(id_)
    newest = next(m for m in MODELS if m.id.startswith(tier[0] if tier else "claude-"))
    return replace(newest, id=id_, name=name or id_, released=newest.released)
