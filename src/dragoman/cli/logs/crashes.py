"""What is written when our own code breaks where nothing catches it: the traceback, without secrets."""

import sys
import threading
import traceback
from types import TracebackType

from dragoman.redaction import Redactor


def guard_tracebacks(redactor: Redactor) -> None:
    """Have Python's last words redacted, too. For the whole process."""

    def tell(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
        sys.stderr.write(redactor.text("".join(traceback.format_exception(kind, error, where))))

    def tell_of_thread(args: threading.ExceptHookArgs) -> None:
        tell(args.exc_type, args.exc_value, args.exc_traceback)

    def tell_of_ignored(args: "sys.UnraisableHookArgs") -> None:
        tell(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = tell
    threading.excepthook = tell_of_thread
    sys.unraisablehook = tell_of_ignored
