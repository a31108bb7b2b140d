"""The errors of limits and budgets: what a client reads when its request does not fit."""

from datetime import datetime, tzinfo

from dragoman.core.errors import GatewayError, QuotaExceeded, RateLimited
from dragoman.limits.rules import Rule, Scope, ScopeKind, Unit
from dragoman.limits.spec import dollars
from dragoman.limits.table import Refusal

_HELD_SECONDS = 1.0
"""Seconds after which a request may fit that others leave no room for now."""


def refusal_error(refusal: Refusal, now: float, zone: tzinfo) -> GatewayError:
    """Return the error for a client: it names the scope, the limit, what is used, and when it is renewed.

    Args:
        refusal: Why the request was refused.
        now: Seconds since 1970.
        zone: The time zone of budgets.
    """
    state = refusal.state
    rule = state.rule
    if rule.unit is Unit.RUNS:
        runs = f"{state.held} of {rule.amount} runs at once are taken{_of(rule.scope)}."
        return RateLimited(runs, retry_after=_HELD_SECONDS)
    if rule.is_rate:
        wait = refusal.retry_after or _HELD_SECONDS
        needed = "" if refusal.needed == 1 else f", and this request may need {refusal.needed}"
        return RateLimited(
            f"More than {rule.amount} {rule.unit} a minute{_of(rule.scope)}: {state.used} are used{needed}. "
            f"There is room in {wait:.1f} s.",
            retry_after=wait,
        )
    renewed = datetime.fromtimestamp(state.window.end, zone)
    text = (
        f"{budget_name(rule)} does not suffice: {dollars(state.used)} is spent, {dollars(state.held)} is reserved by "
        f"requests in flight, and this request may cost {dollars(refusal.needed)}."
    )
    if not refusal.is_spent:
        return RateLimited(f"{text} Try again when they have ended.", retry_after=_HELD_SECONDS)
    return QuotaExceeded(
        f"{text} It is renewed on {renewed:%Y-%m-%d %H:%M} {renewed.tzname()}.", retry_after=state.window.end - now
    )


def budget_name(rule: Rule) -> str:
    """Return the name of a budget, as a sentence begins with it."""
    return f"The budget of {scope_name(rule.scope)} ({dollars(rule.amount)} a {rule.period})"


def scope_name(scope: Scope) -> str:
    """Return the name of a scope in a sentence."""
    name = "the gateway" if scope.kind is ScopeKind.GATEWAY else f"the {scope.kind} `{scope.name}`"
    return f"{name} for `{scope.model}`" if scope.model else name


def _of(scope: Scope) -> str:
    return "" if scope == Scope(ScopeKind.GATEWAY) else f" for {scope_name(scope)}"
