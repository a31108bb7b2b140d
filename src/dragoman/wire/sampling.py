"""Limits and sampling of a request, by the rules of the model."""

from typing import Literal

from dragoman.catalog import Model
from dragoman.messages import MessagesRequest
from dragoman.notices import Notice
from dragoman.values import unchanging


@unchanging
class Sampling:
    """What a client asks for.

    Attributes:
        temperature: 0 to 2.
        top_p: 0 to 1.
        top_k: 0 or more.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None

    @property
    def varied(self) -> bool:
        """Whether anything differs from the API's defaults. Manual thinking does not go with that."""
        return self.temperature not in (None, 1) or self.top_p not in (None, 1) or self.top_k is not None


def set_sampling(body: MessagesRequest, asked: Sampling, model: Model, notices: list[Notice]) -> None:
    """Put temperature, `top_p` and `top_k` into the body, as far as the model takes them."""
    if not model.sampling:
        _leave_out(asked, model, notices)
        return
    if asked.temperature is not None and asked.temperature > 1:
        notices.append(Notice("clamped", "temperature", "Claude's temperature ends at 1; 1 was sent."))
    temperature = None if asked.temperature is None else min(asked.temperature, 1)
    if temperature is not None and asked.top_p is not None:
        # Refused together by the API, even where one of them is at its default.
        if temperature == 1:
            temperature = None
        elif asked.top_p != 1:
            notices.append(Notice("ignored", "top_p", "Claude takes `temperature` or `top_p`; the first was sent."))
    if temperature is not None:
        body["temperature"] = temperature
    elif asked.top_p is not None:
        body["top_p"] = asked.top_p
    if asked.top_k is not None:
        body["top_k"] = asked.top_k


def set_max_tokens(body: MessagesRequest, asked: int | None, param: str, model: Model, notices: list[Notice]) -> None:
    """Put the limit into the body. Where the client gave none, the backend decides."""
    if asked is None:
        return
    body["max_tokens"] = min(asked, model.output_tokens)
    if asked > model.output_tokens:
        notices.append(
            Notice("clamped", param, f"{model.name} writes at most {model.output_tokens} tokens; that was sent.")
        )


def set_stop(body: MessagesRequest, asked: str | list[str] | None, notices: list[Notice]) -> None:
    """Put the stop sequences into the body, without the blank ones, which the API refuses."""
    if asked is None:
        return
    given = [asked] if isinstance(asked, str) else asked
    usable = [sequence for sequence in dict.fromkeys(given) if sequence and not sequence.isspace()]
    if usable:
        body["stop_sequences"] = usable
    if any(not sequence or sequence.isspace() for sequence in given):
        notices.append(Notice("ignored", "stop", "Claude takes no stop sequence of white space only."))


def _leave_out(asked: Sampling, model: Model, notices: list[Notice]) -> None:
    fields: tuple[tuple[Literal["temperature", "top_p", "top_k"], float | None], ...] = (
        ("temperature", asked.temperature),
        ("top_p", asked.top_p),
        ("top_k", asked.top_k),
    )
    for name, value in fields:
        if value is not None and not (value == 1 and name != "top_k"):
            notices.append(Notice("ignored", name, f"{model.name} takes only the default `{name}`."))
