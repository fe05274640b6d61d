"""The collector process: its configuration comes on stdin, it runs until stdin ends or it is asked to stop."""

import os
import signal
import sys
import threading
from typing import Final

from app.collectors.runner import Collector
from app.collectors.transport import BrokerError
from app.models.history.errors import HistoryError
from app.models.wire import Configure, Deframer, Message, Notice, WireError, frame

READ_SIZE: Final = 1 << 16


def end_on_failure() -> None:
    """Let the whole process end where one of its threads fails, so that it is started again and not half alive."""

    def end(failed: threading.ExceptHookArgs) -> None:
        sys.__excepthook__(failed.exc_type, failed.exc_value or failed.exc_type(), failed.exc_traceback)
        sys.stderr.flush()
        os._exit(70)

    threading.excepthook = end


def main() -> int:
    """Run one collector; exit code 0 when asked to end, 1 when it could not begin."""
    # A Ctrl+C in the terminal goes to the whole group; the window ends its collectors itself, by closing the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_on_failure()
    # Not through its buffer: a thread that waits in there keeps the interpreter from ending.
    source, sink = sys.stdin.fileno(), sys.stdout.buffer

    def emit(message: Message) -> None:
        try:
            sink.write(frame(message))
            sink.flush()
        except (BrokenPipeError, ValueError):
            collector.stop()

    try:
        config = _configuration(source)
        if config is None:
            return 0
        collector = Collector(config, emit)
    except (BrokerError, HistoryError, WireError) as error:
        sink.write(frame(Notice("collector", str(error), "error")))
        sink.flush()
        return 1
    signal.signal(signal.SIGTERM, lambda _number, _frame: collector.stop())
    threading.Thread(target=_until_end, args=(source, collector), name="stdin", daemon=True).start()
    collector.run()
    return 0


def _configuration(source: int) -> Configure | None:
    deframer = Deframer()
    while data := os.read(source, READ_SIZE):
        for message in deframer.feed(data):
            if not isinstance(message, Configure):
                raise WireError("A collector is told its configuration first.")
            return message
    return None


def _until_end(source: int, collector: Collector) -> None:
    while os.read(source, READ_SIZE):
        pass
    collector.stop()


if __name__ == "__main__":
    sys.exit(main())
