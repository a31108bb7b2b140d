"""The models, and what each accepts and refuses: the one table that translators, backends and simulator share.

Facts of September and October 2026, from the provider's documentation and migration guides
(https://platform.claude.com/docs/en/about-claude/models/overview). The live list overrides ids and names at run time.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal

from dragoman.core.errors import NotFound
from dragoman.core.value_object import value_object

Effort = Literal["low", "medium", "high", "xhigh", "max"]
EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
_UP_TO_HIGH: tuple[Effort, ...] = EFFORTS[:3]


@dataclass(frozen=True, slots=True)
class Model:
    """One model.

    Attributes:
        id: The id that the API takes.
        family: The generation whose rules hold (`4.5`, …, `5.5`).
        name: What people call it.
        released: Publication date; the `created` of the OpenAI dialect.
        thinking: The `thinking.type` values that the API takes.
        undisabled_above: Efforts at which `thinking: disabled` is refused.
        efforts: The `output_config.effort` values that the API takes; empty where there is none.
        default_effort: The effort when none is sent.
        sampling: Whether `temperature`, `top_p` and `top_k` may differ from their defaults.
        forced_tools: Whether `tool_choice` may be `any` or `tool`.
        prefill: Whether the last message may be the assistant's.
        system_messages: Whether `role: system` may stand inside `messages`.
        message_effort: Whether a message may carry its own `output_config`.
        bound_thinking: Whether thinking blocks are valid only in the conversation that made them.
        cacheable_tokens: The smallest prompt that the API caches, in tokens.
        context_tokens: The context window, in tokens.
        output_tokens: The largest `max_tokens`.
        max_images: The most images in one request.
    """

    id: str
    family: str
    name: str
    released: date
    thinking: frozenset[str]
    undisabled_above: frozenset[Effort] = frozenset()
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
    return replace(base, **rules)  # type: ignore[arg-type]


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
    return replace(base, **rules)  # type: ignore[arg-type]


def _model_between(id_: str, name: str, released: date, **rules: object) -> Model:
    """4.6 to 5: adaptive thinking that can be turned off, effort, no prefill."""
    base = Model(
        id=id_,
        family=".".join(id_.split("-")[2:]),
        name=name,
        released=released,
        thinking=frozenset({"adaptive", "disabled"}),
        efforts=EFFORTS,
        default_effort="high",
    )
    return replace(base, **rules)  # type: ignore[arg-type]


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
        undisabled_above=frozenset({"xhigh", "max"}),
        forced_tools=True,
    ),
    _model_between(
        "claude-opus-5",
        "Claude Opus 5",
        date(2026, 6, 2),
        undisabled_above=frozenset({"xhigh", "max"}),
        system_messages=True,
        cacheable_tokens=512,
    ),
    _model_between("claude-sonnet-5", "Claude Sonnet 5", date(2026, 6, 2)),
    _model_between("claude-opus-4-8", "Claude Opus 4.8", date(2026, 4, 28), system_messages=True),
    _model_between("claude-opus-4-7", "Claude Opus 4.7", date(2026, 4, 2)),
    _model_between(
        "claude-opus-4-6",
        "Claude Opus 4.6",
        date(2026, 2, 4),
        thinking=_WITH_BUDGET,
        sampling=True,
        context_tokens=200_000,
        max_images=100,
        cacheable_tokens=4096,
    ),
    _model_between(
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
"""Newest family first, by tier."""

ALIASES: Mapping[str, str] = {
    "opus": "claude-opus-5-5",
    "sonnet": "claude-sonnet-5-5",
    "haiku": "claude-haiku-5-5",
    "claude-opus": "claude-opus-5-5",
    "claude-sonnet": "claude-sonnet-5-5",
    "claude-haiku": "claude-haiku-5-5",
}

RETIRED: Mapping[str, str] = {
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
"""Ids of old examples, without their dates, and what took their place."""

_DATED = re.compile(r"(?P<id>claude-.+?)-(?:\d{8}|latest)")
_TIER = re.compile(r"claude-(?P<tier>opus|sonnet|haiku)-")


ASKED_FOR = "`GET /v1/models`"
"""How a client asks what models there are."""


@value_object
class Resolved:
    """A model, and how the name that was asked for led to it.

    Attributes:
        model: The model; its `id` is what goes to the API.
        asked: The name as the client wrote it.
        successor_of: The retired id that was mapped to this model, if one was.
    """

    model: Model
    asked: str
    successor_of: str | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """The models that can be asked for.

    Attributes:
        models: What `/v1/models` lists.
        aliases: Names of the user's own, beside the built-in ones.
        default: The name that stands where the client gave none.
        map_retired: Whether a retired id is answered by its successor instead of refused.
    """

    models: tuple[Model, ...] = MODELS
    aliases: Mapping[str, str] = field(default_factory=dict)
    default: str = "sonnet"
    map_retired: bool = False
    _known: Mapping[str, Model] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", {model.id: model for model in self.models})

    def resolve(self, asked: str | None) -> Resolved:
        """Find the model a client means.

        Raises:
            NotFound: `model_not_found`, with the nearest names or the successor of a retired id.
        """
        name = asked or self.default
        own = self.aliases.get(name, name)  # may lead to a built-in alias, not to another of the user's own
        target = ALIASES.get(own, own)
        if model := self._by_id(target):
            return Resolved(model, name)
        if successor := _successor(target):
            if self.map_retired and (model := self._by_id(successor)):
                return Resolved(model, name, successor_of=target)
            raise NotFound(
                f"The model `{name}` was retired by its provider. Use `{successor}`, or start the gateway with "
                "`--map-retired-models`.",
                code="model_not_found",
                param="model",
            )
        raise NotFound(self._unknown(name), code="model_not_found", param="model")

    def with_live(self, listed: Iterable[tuple[str, str]]) -> "Catalog":
        """The same catalog with the ids and names that the provider lists now, unknown ones by the newest rules."""
        models = {model.id: model for model in self.models}
        for id_, name in listed:
            rules = models.get(id_) or self._by_id(id_) or _by_newest_rules(id_, name)
            if rules:
                models[id_] = replace(rules, id=id_, name=name or rules.name)
        return replace(self, models=tuple(models.values()))

    def only(self, ids: Iterable[str]) -> "Catalog":
        """The same catalog with just these models.

        Raises:
            NotFound: One of the names is unknown.
        """
        return replace(self, models=tuple(self.resolve(id_).model for id_ in ids))

    def _by_id(self, id_: str) -> Model | None:
        if model := self._known.get(id_):
            return model
        dated = _DATED.fullmatch(id_)
        undated = self._known.get(dated["id"]) if dated else None
        return undated if undated is None or id_.endswith("-latest") else replace(undated, id=id_)

    def _unknown(self, name: str) -> str:
        names = [*self.aliases, *ALIASES, *(model.id for model in self.models)]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        hint = f" Did you mean {', '.join(f'`{n}`' for n in near)}?" if near else ""
        return f"The model `{name}` does not exist.{hint} {ASKED_FOR} lists what there is."


def _successor(id_: str) -> str | None:
    dated = _DATED.fullmatch(id_)
    return RETIRED.get(dated["id"] if dated else id_)


def _by_newest_rules(id_: str, name: str) -> Model | None:
    """An unknown new model follows the rules of the newest of its tier; of a new tier, those of the newest of all."""
    if not id_.startswith("claude-"):
        return None
    tier = _TIER.match(id_)
    newest = next(m for m in MODELS if m.id.startswith(tier[0] if tier else "claude-"))
    return replace(newest, id=id_, name=name or id_, released=newest.released)
