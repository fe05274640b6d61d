"""What tests of the window share: the theme, an event loop, and a small but complete history."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PySide6.QtCore import SignalInstance
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.application import event_loop
from app.models.acts import Wish
from app.ui.live import View
from app.ui.supervisor import Supervisor
from app.ui.theme import ThemeManager
from tests.helpers.waiting import PATIENCE
from tests.ui.histories import History, Stand
from tests.ui.invented import write_history

P = TypeVar("P", bound=View)
Run = Callable[[Coroutine[Any, Any, None]], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The offscreen platform has no window manager to tell sizes to, and says so."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.qt_log_ignore("This plugin does not support", extend=True))


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[ThemeManager]:
    """The dark theme, applied."""
    manager = ThemeManager(qapp, "dark")
    yield manager
    qapp.styleHints().colorSchemeChanged.disconnect(manager._follow)
    manager.deleteLater()


@pytest.fixture
def run(qapp: QApplication) -> Iterator[Run]:
    """Runs a coroutine in Qt's own loop."""
    qapp.setQuitOnLastWindowClosed(False)
    loop = event_loop(qapp)

    def until_done(work: Coroutine[Any, Any, None]) -> None:
        loop.run_until_complete(_to_the_end(work))

    with loop:
        yield until_done


async def emitted(signal: SignalInstance) -> None:
    """Until a signal is emitted the next time."""
    done = asyncio.get_running_loop().create_future()

    def tell(*_: object) -> None:
        if not done.done():
            done.set_result(None)

    signal.connect(tell)
    try:
        await done
    finally:
        signal.disconnect(tell)


async def loaded(page: View) -> None:
    """Until the page has read once more and shows it."""
    page.reload()
    await emitted(page.loaded)
    await page.settled()


async def until(fact: Callable[[], object], *, within: float = PATIENCE) -> None:
    """Until something is true, while the window goes on; the test fails where it takes so many seconds."""
    deadline = time.monotonic() + within
    while not fact():
        assert time.monotonic() < deadline, f"not within {within:g} s: {fact}"
        await asyncio.sleep(0.01)


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Nothing that a window began may go on when its loop no longer runs."""
    try:
        await work
    finally:
        for widget in QApplication.topLevelWidgets():
            widget.close()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)


@pytest.fixture
def supervisor(run: Run) -> Iterator[Supervisor]:
    """A supervisor without connections."""
    made = Supervisor()
    yield made
    run(made.close())


@pytest.fixture
def stand(history: History) -> Iterator[Stand]:
    """A broker that may be acted on, over the history of a test that makes its own."""
    made = Stand(history.path)
    made.operates = True
    yield made
    made.close()


def put_on(qtbot: QtBot, page: P, stand: Stand, *, height: int = 600) -> P:
    """A page about that broker, in its usual width."""
    qtbot.addWidget(page)
    page.resize(1300, height)
    page.set_connection(stand)  # type: ignore[arg-type]
    return page


@pytest.fixture
def wishes(page: View) -> list[Wish]:
    """What a page wants to be done."""
    made: list[Wish] = []
    page.act_wanted.connect(made.append)
    return made


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Twenty minutes of two workers and two queues, up to now; see `write_history` for what happened."""
    path = tmp_path / "shop.cloche"
    write_history(path, time.time())
    return path
