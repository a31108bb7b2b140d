"""Of all that happens in the runs of an answer: what its client is to see, and in what pieces."""

from dragoman.errors import UpstreamFailed
from dragoman.events import Event, MessageEvent, Restarted, Retrying, Started
from dragoman.wire import sse
from dragoman.wire.base import StreamEncoder

_BESIDE_THE_ANSWER = (Started, Retrying, Restarted)


class Sifter:
    """Remembers of which answers something was seen."""

    def __init__(self) -> None:
        self._begun: set[int] = set()

    def seen(self, batch: list[tuple[int, Event]]) -> list[tuple[int, MessageEvent]]:
        """What the client is to see.

        Raises:
            UpstreamFailed: An answer broke off of which the client has seen a part: asked again, it would be another.
        """
        news: list[tuple[int, MessageEvent]] = []
        for choice, event in batch:
            if not isinstance(event, _BESIDE_THE_ANSWER):
                news.append((choice, event))
            elif choice in self._begun and not isinstance(event, Started):
                raise UpstreamFailed("Claude's answer broke off in the middle. Ask again.")
            elif isinstance(event, Restarted):
                news = [item for item in news if item[0] != choice]
        self._begun.update(choice for choice, _ in news)
        return news


def writes(data: bytes, encoder: StreamEncoder) -> list[bytes]:
    """One write for all that has come, where the dialect does not want more."""
    if encoder.separate:
        return sse.events(data)
    return [data] if data else []
