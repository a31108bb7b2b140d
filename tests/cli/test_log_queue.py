"""Lines that a thread writes."""

import threading
from collections.abc import Sequence

from dragoman.cli.log_output.queue import LineQueue


def test_lines_are_written_in_order_without_a_flush() -> None:
    """By a thread, several at once."""
    written: list[bytes] = []
    done = threading.Event()

    def write(lines: Sequence[bytes]) -> None:
        written.extend(lines)
        if written[-1] == b"99":
            done.set()

    queue = LineQueue(write)
    lines = [b"%d" % number for number in range(100)]
    for line in lines:
        queue.put(line)
    assert done.wait(30)
    assert written == lines


def test_a_flush_writes_what_is_queued() -> None:
    """Once."""
    written: list[Sequence[bytes]] = []
    queue = LineQueue(written.append)
    queue.put(b"one")
    queue.put(b"two")
    queue.flush()
    queue.flush()
    assert [line for lines in written for line in lines] == [b"one", b"two"]


def test_a_long_queue_is_written_by_its_caller() -> None:
    """So it is bounded, and no line is lost."""
    count, largest = 50_000, 0
    written: list[bytes] = []

    def write(lines: Sequence[bytes]) -> None:
        nonlocal largest
        largest = max(largest, len(lines))
        written.extend(lines)

    queue = LineQueue(write)
    for number in range(count):
        queue.put(b"%d" % number)
    queue.flush()
    assert len(written) == count
    assert largest < count / 2
