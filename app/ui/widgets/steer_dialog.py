"""What workers can be told, and the small forms for what some of it needs: one table of them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from PySide6.QtWidgets import QLineEdit, QWidget

from app.models import due, formats
from app.models.acts import Steer, Steering
from app.ui.widgets.choice import Choice, words
from app.ui.widgets.form_dialog import FormDialog, WrongError
from app.ui.widgets.offers import completing

Kind = Literal["number", "queue", "task", "rate", "limit"]


class Field(NamedTuple):
    """A field of `Steer`, what it is called, and what stands in it first or, of a text, while it is empty."""

    key: str
    label: str
    kind: Kind
    hint: str = ""


class Command(NamedTuple):
    """Something that workers can be told: what a menu says, and what is asked before; ``group`` parts the menu."""

    name: Steering
    title: str
    group: int
    fields: tuple[Field, ...] = ()
    text: str = ""


_FORGETS: Final = "A worker that is restarted forgets it."
#: As menus show them. What can't be taken back by another command of the list is not in it but has a button: shutdown.
COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        "pool_grow", "Add processes to the pool", 0, (Field("number", "Processes", "number", "1"),),
        f"Pools of processes can grow, pools of threads can't. {_FORGETS}",
    ),
    Command(
        "pool_shrink", "Take processes from the pool", 0, (Field("number", "Processes", "number", "1"),),
        f"Processes that work finish what they have. {_FORGETS}",
    ),
    Command(
        "autoscale", "Autoscale", 0,
        (Field("least", "At least", "number", "1"), Field("most", "At most", "number", "10")),
        f"Workers that were started with --autoscale can be told other bounds. {_FORGETS}",
    ),
    Command("pool_restart", "Restart the pool", 0),
    Command(
        "add_consumer", "Consume a queue", 1, (Field("queue", "Queue", "queue"),),
        f"A queue that does not exist is made. {_FORGETS}",
    ),
    Command(
        "cancel_consumer", "Stop consuming a queue", 1, (Field("queue", "Queue", "queue"),),
        f"What waits in it goes on waiting, for other workers or for this one. {_FORGETS}",
    ),
    Command(
        "rate_limit", "Rate limit of a task", 2,
        (Field("task", "Task", "task"), Field("rate", "At most", "rate", "10/m; 0 lifts the limit")),
        f"It holds for each worker by itself, not for all together. {_FORGETS}",
    ),
    Command(
        "time_limit", "Time limits of a task", 2,
        (Field("task", "Task", "task"), Field("soft", "Soft limit", "limit"), Field("hard", "Hard limit", "limit")),
        f"Tasks that begin from now on get them. What the limits are now is shown in the plan. {_FORGETS}",
    ),
    Command("enable_events", "Turn events on", 3),
    Command("disable_events", "Turn events off", 3),
)  # fmt: skip
#: As Celery reads rate limits (``celery.utils.time.rate``): so many in a second, minute or hour.
_RATE: Final = re.compile(r"\d+(?:\.\d+)?(?:/[smh])?", re.ASCII)
_SAME: Final = "same"
#: Processes of a pool: more are a slip of the hand.
_MOST: Final = 1000


def told(workers: Sequence[str]) -> str:
    """Whom it is told: a worker by its name, several by their number."""
    return workers[0] if len(workers) == 1 else formats.number_of(len(workers), "worker")


class SteerDialog(FormDialog):
    """The form of one command for these workers; ``known`` are names of tasks and queues that are offered."""

    def __init__(
        self, parent: QWidget, command: Command, workers: Sequence[str], known: Mapping[str, Sequence[str]]
    ) -> None:
        super().__init__(parent, f"{command.title}: {told(workers)}", command.text)
        self._command, self._workers = command, list(workers)
        self.edits: dict[str, QLineEdit] = {}
        self.choices: dict[str, Choice] = {}
        for field in command.fields:
            self._add(field, known)

    def wish(self) -> Steer:
        given: dict[str, Any] = {}
        for field in self._command.fields:
            edit = self.edits[field.key]
            text = edit.text().strip()
            match field.kind:
                case "number":
                    given[field.key] = _number(edit, text, least=0 if field.key == "least" else 1)
                case "limit":
                    given[field.key] = self._limit(field.key)
                case "rate":
                    if not _RATE.fullmatch(text):
                        raise WrongError(edit, "A rate limit is written like 10/m, 0.5/s or 100/h; 0 lifts it.")
                    given[field.key] = text
                case _:
                    if not text:
                        raise WrongError(edit, f"Which {field.label.lower()}?")
                    given[field.key] = text
        self._check(given)
        return Steer(self._command.name, self._workers, **given)

    def _check(self, given: Mapping[str, Any]) -> None:
        if self._command.name == "autoscale" and given["least"] > given["most"]:
            raise WrongError(self.edits["most"], "The most has to be as many as the least, or more.")
        if self._command.name != "time_limit":
            return
        soft, hard = given["soft"], given["hard"]
        if soft is None and hard is None:
            raise WrongError(self.edits["soft"], "Both limits are to stay as they are: nothing would change.")
        if soft and hard and soft >= hard:
            raise WrongError(self.edits["soft"], "The soft limit has to be shorter than the hard one.")

    def _limit(self, key: str) -> float | None:
        """Seconds, 0 for no limit, None to leave it as it is."""
        choice = self.choices[key].value
        if choice != "seconds":
            return None if choice == _SAME else 0.0
        edit = self.edits[key]
        try:
            limit = due.seconds(edit.text())
        except ValueError as error:
            raise WrongError(edit, str(error)) from error
        if not limit:
            raise WrongError(edit, "A limit of no time ends every task. To have no limit, choose None.")
        return limit

    def _add(self, field: Field, known: Mapping[str, Sequence[str]]) -> None:
        edit = self.edits[field.key] = QLineEdit()
        if field.kind == "limit":
            choice = words(field.label, ((_SAME, "As it is"), ("none", "None"), ("seconds", "Seconds")))
            self.choices[field.key] = choice
            edit.setPlaceholderText("30s, 5m")
            edit.setEnabled(False)
            choice.changed.connect(lambda: edit.setEnabled(choice.value == "seconds"))
            self.add(field.label, edit, choice)
            return
        if field.kind == "number":
            edit.setText(field.hint)
        else:
            edit.setPlaceholderText(field.hint)
            completing(edit, list(known.get({"task": "name"}.get(field.kind, field.kind), ())))
        self.add(field.label, edit)


def _number(edit: QLineEdit, text: str, least: int) -> int:
    if not text.isascii() or not text.isdecimal() or not least <= int(text) <= _MOST:
        raise WrongError(edit, f"This has to be a number from {least} to {_MOST:,}.")
    return int(text)
