"""The window process: builds everything once, runs it, and ends it."""

import asyncio
import functools
import gc
import logging
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QSettings, QTimer
from PySide6.QtWidgets import QApplication

from app import paths
from app.models.target import Target
from app.ui.kept import Kept
from app.ui.main_window import MainWindow
from app.ui.shots import take_shots
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import ThemeManager

__all__ = ["Ready", "Target", "run"]

#: Returns when there is something to show, and whether that came about.
Ready = Callable[[Supervisor], Awaitable[bool]]
#: Seconds that pictures wait for a broker that says nothing.
FIRST_NEWS: Final = 10.0
#: Milliseconds between two collections of garbage.
SWEEP: Final = 10_000
OnShots = Callable[[list[Path]], None]


def run(
    targets: Sequence[Target],
    *,
    shots: Path | None = None,
    duration: float | None = None,
    span: float | None = None,
    ready: Ready | None = None,
    on_shots: OnShots | None = None,
) -> int:
    """Open the window on these targets, until it is closed; exit code.

    ``duration`` ends the program after so many seconds. With ``shots``, every page is rendered into that folder and the
    program ends: after ``duration`` seconds, or once ``ready`` says so (exit code 1 where it says False), or once every
    broker was heard. ``span`` is the time range to begin with, in seconds, if it is not the one last used.
    """
    # The query thread hands the interpreter to the window after a millisecond, not after five.
    sys.setswitchinterval(0.001)
    application = QApplication.instance() or QApplication(sys.argv[:1])
    if not isinstance(application, QApplication):
        raise TypeError("another kind of Qt application runs in this process")
    application.setApplicationName("Cloche")
    # Closing the last window would end the loop under its own feet; an event ends it.
    application.setQuitOnLastWindowClosed(False)
    loop = event_loop(application)
    with loop, tempfile.TemporaryDirectory() as folder:
        # Drawing pictures changes the window in every way, which its user did not ask to be kept.
        session = Session(application, paths.settings_file() if shots is None else Path(folder) / "window.ini")
        return int(loop.run_until_complete(session.run(targets, shots, duration, span, ready, on_shots)))


def event_loop(application: QApplication) -> Any:
    """Qt's loop for coroutines, a `qasync.QEventLoop`."""
    # It looks for a Qt binding of its own unless one is there already.
    import qasync  # noqa: PLC0415 - not before Qt is there

    # It writes down what threads are called with and what they return: passwords of the keyring, too.
    logging.getLogger("qasync").setLevel(logging.WARNING)
    return qasync.QEventLoop(application)


class Session:
    """One run of the window, from its first collector to its last."""

    def __init__(self, application: QApplication, settings: Path) -> None:
        self._supervisor = Supervisor()
        self._theme = ThemeManager(application)
        stored = QSettings(str(settings), QSettings.Format.IniFormat)
        self._window = MainWindow(self._supervisor, self._theme, stored, Kept(paths.profiles_file()))
        self._ended = asyncio.Event()
        self._sweep = QTimer()
        self._sweep.timeout.connect(gc.collect)
        self._window.closed.connect(self._ended.set)

    async def run(
        self,
        targets: Sequence[Target],
        shots: Path | None,
        duration: float | None,
        span: float | None,
        ready: Ready | None,
        on_shots: OnShots | None,
    ) -> int:
        """Show the window, or draw it, and leave nothing running. See `app.application.run`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ended.set)
        try:
            for target in targets:
                self._supervisor.add(target)
            if span is not None:
                self._window.range.go_live(span)
            self._window.show()
            # What is alive now stays so: the garbage collector need not look through it again, 60 ms each time.
            gc.collect()
            gc.freeze()
            # What belongs to Qt must be deleted in Qt's thread: elsewhere the collector never runs by itself.
            gc.disable()
            self._sweep.start(SWEEP)
            if shots is not None:
                return await self._draw(shots, duration, ready, on_shots)
            if duration is not None:
                loop.call_later(duration, self._ended.set)
            await self._ended.wait()
            return 0
        finally:
            self._window.close()
            await _cancel_others()
            # Collectors end while the loop still runs, so that what they say last is heard.
            await self._supervisor.close()

    async def _draw(self, shots: Path, duration: float | None, ready: Ready | None, on_shots: OnShots | None) -> int:
        if ready is not None:
            if not await ready(self._supervisor):
                return 1
        elif await self._ended_within(FIRST_NEWS if duration is None else duration, at_first_news=duration is None):
            return 0
        made = await take_shots(self._window, self._theme, shots)
        if on_shots is not None:
            on_shots(made)
        return 0

    async def _ended_within(self, seconds: float, *, at_first_news: bool) -> bool:
        """Wait so long, or until every broker was heard, and say whether the user ended the program meanwhile."""
        silent = {connection for connection in self._supervisor.connections if connection.live}
        news = asyncio.Event()

        def hear(connection: Connection) -> None:
            silent.discard(connection)
            if not silent:
                news.set()

        for connection in silent if at_first_news else ():
            connection.committed.connect(functools.partial(hear, connection))
        if at_first_news and not silent:
            return False
        waits = {asyncio.get_running_loop().create_task(event.wait()) for event in (self._ended, news)}
        _, left = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        return self._ended.is_set()


async def _cancel_others() -> None:
    """End what pages have under way, as `asyncio.run` would; the loop must not close over it."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
