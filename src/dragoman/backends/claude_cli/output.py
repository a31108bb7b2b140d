"""What a process printed, in files of the state directory, for the owner alone and for a while.

Secrets are taken out, line by line, before anything is written.

The answer of an installation that tells of it only at its end: a single `result`. No I/O here.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import cast

import msgspec

from dragoman.backends.shared.claude_errors import result_error
from dragoman.backends.shared.message_reader import OutputReader, block_delta, block_start, block_stop, without_deltas
from dragoman.core.events import Event, MessageDelta, MessageStart, MessageStop
from dragoman.core.messages import JSONObject
from dragoman.core.redaction import Redactor

_FOLDER = "output"
_NAMES = {1: "stdout", 2: "stderr"}


class Output:
    """Two files of one run. Written to as the process prints, a line at a time."""

    def __init__(self, folder: Path, run: str, redactor: Redactor) -> None:
        self._redactor = redactor
        self._paths = {fd: folder / f"{run}.{name}" for fd, name in _NAMES.items()}
        self._files = {fd: _made(path) for fd, path in self._paths.items()}
        self._unfinished = dict.fromkeys(_NAMES, b"")

    def write(self, fd: int, data: bytes) -> None:
        """Take what came from stdout (1) or stderr (2)."""
        *lines, self._unfinished[fd] = (self._unfinished[fd] + data).split(b"\n")
        self._put(fd, lines)

    def close(self, *, keep: bool) -> None:
        """Close the files, and remove them unless they are to be kept."""
        for fd, file in self._files.items():
            if rest := self._unfinished[fd]:
                self._put(fd, [rest])
            os.close(file)
        if not keep:
            _remove(self._paths.values())

    def _put(self, fd: int, lines: list[bytes]) -> None:
        if lines:
            os.write(self._files[fd], b"".join(self._clean(line) + b"\n" for line in lines))

    def _clean(self, line: bytes) -> bytes:
        try:
            frame = msgspec.json.decode(line)
        except msgspec.DecodeError:
            return self._redactor.text(line.decode(errors="replace")).encode()
        return msgspec.json.encode(self._redactor.data(without_deltas(frame) if isinstance(frame, dict) else frame))


class Outputs:
    """The files of all runs, within a number and an age; the oldest go first."""

    def __init__(
        self,
        state_dir: Path,
        *,
        most: int,
        age: float,
        redactor: Redactor,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redactor = redactor
        self.folder = state_dir / _FOLDER
        self._most = most
        self._age = age
        self._clock = clock

    def prepare(self) -> None:
        """Make the directory, and remove what is too old."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.prune()

    def begin(self, run: str) -> Output:
        """Files for a run."""
        return Output(self.folder, run, self._redactor)

    def prune(self) -> None:
        """Remove what is too old or too much."""
        ages: dict[str, float] = {}
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another gateway with this state directory was first
                ages[path.stem] = max(ages.get(path.stem, 0.0), path.stat().st_mtime)
        newest = sorted(ages, key=ages.__getitem__, reverse=True)
        kept = [run for run in newest[: self._most] if ages[run] > self._clock() - self._age]
        for run in ages.keys() - kept:
            _remove(self.folder / f"{run}.{name}" for name in _NAMES.values())


def _made(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


_FIGURES = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


class WholeAnswer(OutputReader):
    """The reader that waits for the end.

    Args:
        model: The model's id, which the result does not tell.
    """

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model

    def feed(self, frame: JSONObject) -> Iterator[Event]:
        """Take the next frame, and yield what it means."""
        if self.outcome != "open" or frame.get("type") != "result":
            return
        text = frame.get("result")
        if frame.get("is_error") or frame.get("subtype") != "success" or not isinstance(text, str):
            self.fail(result_error(frame, ""))
            return
        yield from self._answer(frame, text)
        self.outcome = "complete"

    def _answer(self, frame: JSONObject, text: str) -> Iterator[Event]:
        told = cast("JSONObject", frame.get("usage") or {})
        usage: JSONObject = {name: told.get(name) or 0 for name in _FIGURES}
        message: JSONObject = {
            "id": f"msg_{str(frame.get('session_id') or 'cli').replace('-', '')}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": dict(usage),
        }
        yield MessageStart({"type": "message_start", "message": message})
        yield block_start(0, {"type": "text", "text": ""})
        yield block_delta(0, {"type": "text_delta", "text": text})
        yield block_stop(0)
        ending: JSONObject = {"stop_reason": frame.get("stop_reason") or "end_turn", "stop_sequence": None}
        yield MessageDelta({"type": "message_delta", "delta": ending, "usage": usage})
        yield MessageStop({"type": "message_stop"})
