"""The process of the local model: `python -m dragoman.backends.embeddings.worker PATH`.

A separate process, so that neither importing the model's libraries, which takes seconds, nor the model blocks the
gateway's event loop, and so that the gateway stays small until the first request.
"""

import os
import sys
from typing import BinaryIO

from dragoman.backends.embeddings.frames import BATCHES, HEADER, Answers, Broken, Ready, Reply, frame
from dragoman.backends.embeddings.model import Model


def main(path: str) -> None:
    """Load the model and answer batches until the gateway closes the pipe."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the frames
    with requests, replies:
        try:
            model = Model(path)
        except Exception as error:  # noqa: BLE001 - any error of a library is reported to the gateway
            _write(replies, Broken(f"{type(error).__name__}: {error}"))
            return
        _write(replies, Ready(model.max_tokens))
        while raw := _read(requests):
            _write(replies, _answers(model, raw))


def _answers(model: Model, raw: bytes) -> Reply:
    try:
        return Answers(model.embed(BATCHES.decode(raw)))
    except Exception as error:  # noqa: BLE001 - the same
        return Broken(f"{type(error).__name__}: {error}")


def _read(requests: BinaryIO) -> bytes | None:
    header = requests.read(HEADER)
    return requests.read(int.from_bytes(header, "little")) if len(header) == HEADER else None


def _write(replies: BinaryIO, reply: Reply) -> None:
    replies.write(frame(reply))
    replies.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except BrokenPipeError:  # the gateway has ended
        sys.exit(1)
