"""A new task: its name, arguments, queue and time."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from PySide6.QtWidgets import QLineEdit, QWidget

from app.models import due
from app.models.acts import Send
from app.ui.theme import ThemeManager
from app.ui.widgets.form_dialog import FormDialog, WrongError
from app.ui.widgets.form_parts import Grid, Section
from app.ui.widgets.json_edit import JsonEdit
from app.ui.widgets.offers import completing

T = TypeVar("T")

_WIDTH: Final = 560
_MOST: Final = 255
_TEXT: Final = (
    "The workers' own code runs it, with what is written here. Nothing is sent before you have seen the plan."
)
_ORDER: Final = "The soft limit has to be shorter than the hard one, which ends the task at once."


class SendDialog(FormDialog):
    """``known`` are names of tasks (``name``) and queues (``queue``) that are offered."""

    def __init__(
        self, parent: QWidget, theme: ThemeManager, known: Mapping[str, Sequence[str]], queue: str = ""
    ) -> None:
        super().__init__(parent, "Send a task", _TEXT, width=_WIDTH)
        self.name = completing(QLineEdit(), sorted(known.get("name", ())))
        self.queue = completing(QLineEdit(queue or "celery"), list(known.get("queue", ())))
        self.args = JsonEdit(theme, "Positional arguments", "args", "[]", lines=(2, 8))
        self.kwargs = JsonEdit(theme, "Keyword arguments", "kwargs", "{}", lines=(2, 8))
        self.eta, self.expires = _line("at once; or 10m, 23:00, 2026-11-22 03:00"), _line("never; or 1h, 23:00")
        self.priority = _line("that of the queue; 0 to 255")
        self.soft, self.hard = _line("as the workers have it; or 30s, 5m"), _line("as the workers have it; or 60s, 10m")
        self.name.setPlaceholderText("shop.tasks.charge")
        self.add("Task", self.name)
        self.add("args", self.args)
        self.add("kwargs", self.kwargs)
        self.add("Queue", self.queue)
        self.add("Not before", self.eta)
        self.section = Section(theme, "Expiry, priority and time limits", self._rare())
        self.below.addWidget(self.section)

    def wish(self) -> Send:
        now = time.time()
        if not self.name.text().strip():
            raise WrongError(self.name, "Which task is to run? Write its name as workers know it.")
        for edit in (self.args, self.kwargs):
            if edit.error:
                raise WrongError(edit, edit.error)
        if not self.queue.text().strip():
            raise WrongError(self.queue, "Which queue is it to wait in?")
        soft, hard = _given(self.soft, due.seconds), _given(self.hard, due.seconds)
        if soft is not None and hard is not None and soft >= hard:
            raise WrongError(self.soft, _ORDER)
        return Send(
            self.name.text().strip(), self.args.text.strip(), self.kwargs.text.strip(), self.queue.text().strip(),
            eta=_given(self.eta, lambda text: due.moment(text, now)),
            expires=_given(self.expires, lambda text: due.moment(text, now)),
            priority=_given(self.priority, _priority), time_limit=hard, soft_time_limit=soft,
        )  # fmt: skip

    def reveal(self, field: QWidget) -> None:
        if self.section.isAncestorOf(field):
            self.section.open()

    def _rare(self) -> QWidget:
        inside, grid = QWidget(), Grid()
        inside.setLayout(grid)
        self.add("Expires", self.expires, grid=grid)
        self.add("Priority", self.priority, grid=grid)
        self.add("Soft time limit", self.soft, grid=grid)
        self.add("Hard time limit", self.hard, grid=grid)
        return inside


def _line(placeholder: str) -> QLineEdit:
    made = QLineEdit()
    made.setPlaceholderText(placeholder)
    return made


def _given(edit: QLineEdit, read: Callable[[str], T]) -> T | None:
    """What is written in a field that may be empty. Raises `WrongError`."""
    if not edit.text().strip():
        return None
    try:
        return read(edit.text())
    except ValueError as error:
        raise WrongError(edit, str(error)) from error


def _priority(text: str) -> int:
    if not re.fullmatch(r"\d{1,3}", text.strip(), re.ASCII) or int(text) > _MOST:
        raise ValueError("A priority is a number from 0 to 255: from 0 to 9 on most brokers.")
    return int(text)
