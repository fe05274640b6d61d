"""The collector process: its configuration comes on stdin, it runs until stdin ends or it is asked to stop.

It may be asked instead what can be seen of a broker, and then ends by itself.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from app.collectors.doctor import Examination
from app.collectors.runner import Collector
from app.collectors.speaker import Speaker
from app.collectors.transport import BrokerError
from app.models.history.errors import HistoryError
from app.models.wire import Asked, Configure, Deframer, Examine, Message, Notice, Refused, WireError, frame

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
    # Not through their buffers: a thread that waits in there keeps the interpreter from ending.
    source, sink = sys.stdin.fileno(), sys.stdout.fileno()

    def gone() -> None:
        collector.stop()

    speaker = Speaker(sink, gone)
    try:
        messages = _messages(source)
        config = next(messages, None)
        if config is None:
            return 0
        if isinstance(config, Examine):
            return _examine(config, messages, sink)
        if not isinstance(config, Configure):
            raise WireError("A collector is told its configuration first.")
        collector = Collector(config, speaker.say)
    except (BrokerError, HistoryError, WireError) as error:
        with suppress(BrokenPipeError):
            os.write(sink, frame(Notice("collector", str(error), "error")))
        return 1
    signal.signal(signal.SIGTERM, lambda _number, _frame: collector.stop())
    threading.Thread(target=_obey, args=(messages, collector), name="stdin", daemon=True).start()
    speaker.start()
    try:
        collector.run()
    finally:
        speaker.finish()
    return 0


def _messages(source: int) -> Iterator[Message]:
    deframer = Deframer()
    while data := os.read(source, READ_SIZE):
        yield from deframer.feed(data)


def _examine(asked: Examine, messages: Iterator[Message], sink: int) -> int:
    """Say what is found as it is found, until all is said or nobody listens any more."""
    try:
        examination = Examination(asked)
    except BrokerError as error:
        with suppress(BrokenPipeError):
            os.write(sink, frame(Refused(str(error), error.option)))
        return 1
    if not asked.connect:
        return 0
    threading.Thread(target=_stop_after, args=(messages, examination), name="stdin", daemon=True).start()
    with suppress(BrokenPipeError):
        for found in examination.findings():
            os.write(sink, frame(found))
    return 0


def _stop_after(messages: Iterator[Message], examination: Examination) -> None:
    """Stop when the window is gone, or the user changed his mind: then the pipe ends."""
    for _ in messages:
        pass
    examination.stop()


def _obey(messages: Iterator[Message], collector: Collector) -> None:
    """Pass on what the window asks, and stop when it is gone."""
    for message in messages:
        if isinstance(message, Asked):
            collector.take(message)
    collector.stop()


if __name__ == "__main__":
    sys.exit(main())
