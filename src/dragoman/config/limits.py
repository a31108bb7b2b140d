"""Settings of limits and budgets: those of a scope, and those of single models within it."""

from functools import partial
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from dragoman.config.values import many_names, tables
from dragoman.limits.spec import Limits, check_budgets

_Budgets = Annotated[tuple[str, ...], BeforeValidator(many_names), AfterValidator(check_budgets)]


class ScopeLimitSettings(BaseModel):
    """The limits and budgets of a client's key or of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: int | None = Field(None, ge=1, description="Maximum number of requests per minute.")
    tokens_per_minute: int | None = Field(None, ge=1, description="Maximum number of tokens per minute.")
    concurrency: int | None = Field(None, ge=1, description="Maximum number of runs at the same time.")
    budget: _Budgets = Field((), description="What may be spent: `20usd/month`, also `/day` and `/week`.")

    def as_limits(self, models: "tuple[ModelLimitSettings, ...]" = ()) -> Limits:
        """Return the limits, with those of single models."""
        return limits_of(self.requests_per_minute, self.tokens_per_minute, self.concurrency, self.budget, models)


class ModelLimitSettings(ScopeLimitSettings):
    """The limits and budgets of one model."""

    name: str = Field(description="Name or alias of the model.")


ModelLimits = Annotated[tuple[ModelLimitSettings, ...], BeforeValidator(partial(tables, setting="model_limits"))]
"""Limits of models as tables by name, or a list of tables."""


def limits_of(
    rpm: int | None,
    tpm: int | None,
    concurrency: int | None,
    budgets: tuple[str, ...],
    models: tuple[ModelLimitSettings, ...],
) -> Limits:
    """Return limits, with those of single models."""
    return Limits(rpm, tpm, concurrency, budgets, {one.name: one.as_limits() for one in models})
