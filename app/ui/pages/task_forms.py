"""The forms of the page of tasks: for a new task, and for stamps to revoke tasks by."""

import asyncio
from contextlib import aclosing
from typing import Final

from PySide6.QtCore import QObject, Signal

from app.models import states
from app.models.records import Message, Task
from app.models.stamps import stamps_of
from app.ui.live import View
from app.ui.pages import tasks_read
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets.send_dialog import SendDialog
from app.ui.widgets.stamp_dialog import StampDialog

_OVER: Final = "What this task was stamped with is not known: it is over, and only its message told of it."
_NO_QUEUE: Final = "What this task was stamped with is not known: nor is the queue where its message would be."


class TaskForms(QObject):
    """Opens them over a page; ``wanted`` carries the wish."""

    wanted = Signal(object)

    def __init__(self, page: View, theme: ThemeManager) -> None:
        super().__init__(page)
        self._page, self._theme = page, theme

    def send(self, until: float | None) -> None:
        """Ask for a new task; names are offered that were seen in the range of the page, ``until`` then."""
        self._page.spawn(self._send(until))

    def revoke_stamped(self, uuid: str = "") -> None:
        """Ask for stamps to revoke tasks by; those of the task ``uuid`` are offered, as far as its message has them."""
        dialog = StampDialog(self._page)
        dialog.wished.connect(self.wanted)
        closed = asyncio.Event()
        dialog.finished.connect(closed.set)
        dialog.open()
        connection = self._page.connection
        if uuid and connection is not None:
            self._page.spawn(self._offer(dialog, closed, connection, uuid))

    async def _send(self, until: float | None) -> None:
        connection = self._page.connection
        if connection is None:
            return
        span = self._page.range.bounds(until)
        known = await connection.query(lambda reader: tasks_read.values(reader, span))
        dialog = SendDialog(self._page, self._theme, known)
        dialog.wished.connect(self.wanted)
        dialog.open()

    async def _offer(self, dialog: StampDialog, closed: asyncio.Event, connection: Connection, uuid: str) -> None:
        task = await connection.query(lambda reader: reader.task(uuid))
        if closed.is_set() or task is None:
            return
        if task.state in states.FINAL or not task.queue:
            dialog.say(_OVER if task.state in states.FINAL else _NO_QUEUE)
            return
        dialog.say(f"Looking for its message in {task.queue} …")
        found = await _message_of(connection, task, closed)
        if closed.is_set():
            return
        if isinstance(found, Message):
            dialog.offer(stamps_of(found.headers))
        else:
            dialog.say(found or f"Its message was not found in {task.queue}: a worker may have it already.")


async def _message_of(connection: Connection, task: Task, closed: asyncio.Event) -> Message | str:
    """The message of a task, as far as its queue is looked through at one go; or a sentence why not, or ""."""
    async with aclosing(connection.search(task.queue or "", task.uuid)) as answers:
        async for answer in answers:
            found = next((message for message in answer.survey.found if message.id == task.uuid), None)
            if found is not None or answer.error:
                return found or answer.error
            if closed.is_set():
                break
    return ""
