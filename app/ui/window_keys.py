"""The keys that work everywhere in a window: they lead to pages and brokers, and through time."""

from collections.abc import Callable

from PySide6.QtCore import QObject
from PySide6.QtGui import QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QAbstractButton, QApplication, QWidget

from app.ui.live import TimeRange
from app.ui.pages.all_pages import PAGES
from app.ui.scope import Scope
from app.ui.widgets.keys_dialog import KeysDialog
from app.ui.widgets.sidebar import ALL_KEY, CONNECT_KEY

#: Brokers that have a key, the first of them.
_BROKERS = 9


class WindowKeys(QObject):
    """Each does one thing of the window's; ``pause`` is the button that Space presses wherever the focus is."""

    def __init__(
        self, window: QWidget, time_range: TimeRange, scope: Scope, pause: QAbstractButton,
        show_page: Callable[[str], None], connect: Callable[[], None],
    ) -> None:  # fmt: skip
        super().__init__(window)
        self._window, self._range, self._pause = window, time_range, pause
        for entry in PAGES:
            self._key(entry.key, lambda name=entry.name: show_page(name))
        self._key(ALL_KEY, scope.choose_all)
        for place in range(_BROKERS):
            self._key(f"Ctrl+{place + 1}", lambda place=place: scope.choose(place))
        self._key(CONNECT_KEY, connect)
        self._key("Space", self._space)
        self._key("Home", time_range.go_live)

    def takes(self, event: QKeyEvent) -> bool:
        """Whether a sign is one of the window's; it goes by what is typed, wherever the keyboard has it."""
        match event.text():
            case "[":
                self._range.step_by(-1.0)
            case "]":
                self._range.step_by(1.0)
            case "?":
                KeysDialog(self._window).open()
            case _:
                return False
        return True

    def _key(self, key: str, act: object) -> None:
        QShortcut(QKeySequence(key), self._window).activated.connect(act)

    def _space(self) -> None:
        """Space presses the button that has the focus, as everywhere; otherwise it freezes the picture."""
        focused = QApplication.focusWidget()
        if isinstance(focused, QAbstractButton) and focused is not self._pause:
            focused.click()
        else:
            self._range.set_paused(not self._range.paused)
