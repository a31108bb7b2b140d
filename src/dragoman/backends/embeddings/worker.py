"""The process of the local model: `python -m dragoman.backends.embeddings.worker PATH`.

A process of its own, so that neither the model's libraries, which take seconds to import, nor the model at work hold up
the gateway's event loop; and so that the gateway stays small until the first vector is wanted.
"""

import os
import sys
from typing import BinaryIO

from dragoman.backends.embeddings.frames import BATCHES, HEADER, Answers, Broken, Ready, Reply, frame
from dragoman.backends.embeddings.model import Model


def main(path: str) -> None:
    """Load the model and answer batches until the gateway closes the pipe."""
    asked = os.fdopen(os.dup(0), "rb")
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not stand between our frames
    with asked, told:
        try:
            model = Model(path)
        except Exception as error:  # noqa: BLE001 - a library's own; the gateway has to be told of any
            _tell(told, Broken(f"{type(error).__name__}: {error}"))
            return
        _tell(told, Ready(model.max_tokens))
        while raw := _next(asked):
            _tell(told, _answers(model, raw))


def _answers(model: Model, raw: bytes) -> Reply:
    try:
        return Answers(model.embed(BATCHES.decode(raw)))
    except Exception as error:  # noqa: BLE001 - as above
        return Broken(f"{type(error).__name__}: {error}")


def _next(asked: BinaryIO) -> bytes | None:
    header = asked.read(HEADER)
    return asked.read(int.from_bytes(header, "little")) if len(header) == HEADER else None


def _tell(told: BinaryIO, reply: Reply) -> None:
    told.write(frame(reply))
    told.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except BrokenPipeError:  # the gateway is gone, and with it everyone who waited
        sys.exit(1)
