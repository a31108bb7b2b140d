"""What a run has used until now, as the ledger counts it."""

from collections.abc import Sequence
from typing import cast

from dragoman.core.errors import UpstreamFailed
from dragoman.core.messages import JSONObject, Usage
from dragoman.core.pricing import nanodollars_of_calls
from dragoman.core.usage_counts import UsageCounts
from dragoman.runs.bounds import estimated_output
from dragoman.runs.run import Run
from dragoman.stores.ledger import Tokens


def usages_until_now(run: Run) -> list[JSONObject]:
    """Return the usage of each call. Output that the API has not counted yet is estimated: it is paid, too."""
    usages = cast("list[JSONObject]", run.calls.usages)
    if not run.has_output or not usages:
        return usages
    try:
        message = run.result().message
    except UpstreamFailed:
        return usages
    usage, estimated = usages[-1], estimated_output(message["content"])
    counted = usage.get("output_tokens")
    if message.get("stop_reason") is not None or (isinstance(counted, int) and estimated <= counted):
        return usages
    return [*usages[:-1], {**usage, "output_tokens": estimated}]


def count_cut_output(run: Run) -> None:
    """Estimate the output of a response that was cut off before the API counted it."""
    usages = usages_until_now(run)
    if usages is not run.calls.usages:
        run.calls.usages[-1] = cast("Usage", usages[-1])
        if len(usages) == 1:
            run.usage = cast("Usage", {**(run.usage or {}), "output_tokens": usages[-1]["output_tokens"]})


def tokens_of(calls: Sequence[UsageCounts]) -> Tokens:
    """Return the tokens of some calls."""
    input_ = cache_read = cache_write = output = 0
    for counts in calls:
        input_ += counts.input_tokens
        cache_read += counts.cache_read_input_tokens
        cache_write += counts.cache_creation_input_tokens
        output += counts.output_tokens
    return Tokens(input=input_, cache_read=cache_read, cache_write=cache_write, output=output)


def price_of_run(run: Run) -> int:
    """Return what a run that has ended costs, in nanodollars. The ledger and the metrics ask for it."""
    if run.nanodollars is None:
        run.nanodollars = nanodollars_of_calls(cast("Sequence[JSONObject]", run.calls.usages), run.model)
    return run.nanodollars
