"""The record of a run, as it stands."""

from typing import cast

from dragoman.errors import UpstreamFailed
from dragoman.messages import JSONObject
from dragoman.runs.run import Run
from dragoman.stores.runs import RunRecord


def record_of(run: Run, *, content: bool) -> RunRecord:
    """The record of a run.

    Args:
        run: The run.
        content: Whether what was answered so far is to be in it.
    """
    return RunRecord(
        id=run.id,
        request=run.request,
        status=run.status,
        model=run.model,
        path=run.path,
        upstream=run.upstream,
        client=run.client,
        endpoint=run.endpoint,
        created=run.since,
        ended=run.since + run.stages["total"] if run.ended else None,
        stages=run.stages if run.ended else dict(run.stages),
        usage=cast("JSONObject | None", run.usage),
        error=run.error.code if run.error else None,
        reason=run.reason,
        asked=cast("JSONObject | None", run.asked),
        answered=_said(run) if content else None,
    )


def _said(run: Run) -> JSONObject | None:
    try:
        return cast("JSONObject", run.said().message)
    except UpstreamFailed:
        return None
