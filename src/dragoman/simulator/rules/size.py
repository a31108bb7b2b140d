"""The size of the context."""

from dragoman.simulator.call import Call
from dragoman.simulator.problem import refuse


def context(call: Call) -> None:
    """The prompt fits the model.

    Prompt and `max_tokens` together may be more: models since 4.5 then stop with `model_context_window_exceeded`.
    """
    tokens, most = call.points[-1].tokens, call.model.context_tokens
    if tokens > most:
        raise refuse(f"prompt is too long: {tokens} tokens > {most} maximum")
