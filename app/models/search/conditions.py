"""What a search is made of, and each part as an SQL expression over ``schema.task``.

An expression may be unknown (NULL) where the task's value is, which finds nothing; only `Not` has to make up its mind.
Whatever was typed becomes a bound parameter, never SQL.
"""

from typing import Any, Final, Literal, Protocol

import msgspec
from sqlalchemy import ColumnElement, Select, and_, func, or_, select, true

from app.models import states
from app.models.history import schema
from app.models.search.keywords import common, spellings
from app.models.search.patterns import Pattern
from app.models.search.values import Clock, Interval

#: A run of more seconds than this is slow.
SLOW: Final = 10.0

_task: Final = schema.task.c
#: Fields that are numbers in the task's row, with the table and the column that hold the words.
_LABELS: Final = {
    "name": (_task.name_id, schema.name.c.id, schema.name.c.name),
    "queue": (_task.queue_id, schema.queue.c.id, schema.queue.c.name),
    "worker": (_task.worker_id, schema.worker.c.id, schema.worker.c.hostname),
}
#: Where a word without a field is looked for, apart from name and worker; the cheapest comes first.
_ANYWHERE: Final = (_task.state, _task.uuid, _task.args, _task.kwargs, _task.result, _task.exception)
_WAITING: Final = (states.PENDING, states.RECEIVED, states.RETRY)
#: Nobody can tell whether it still runs, or how it ended.
_DOUBTED: Final = (states.LOST, states.UNKNOWN)
#: A task in any other state is running: Celery's own, or a custom one that it reports while it runs.
_NOT_RUNNING: Final = (*_WAITING, *_DOUBTED, *sorted(states.FINAL))

Condition = Literal[
    "doubted", "failed", "finished", "lost", "redelivered", "retried", "running", "slow", "unknown", "waiting"
]


class Setting(msgspec.Struct, frozen=True):
    """What a search is made into SQL for.

    The ``clock`` resolves relative times. ``looked_up`` if there are so many names that each task's own one is looked
    up, instead of all of them being read first.
    """

    clock: Clock
    looked_up: bool = False


class Node(Protocol):
    """A part of a search. Equal parts compare equal."""

    def clause(self, setting: Setting, /) -> ColumnElement[bool]:
        """The part as SQL."""
        ...


class Everything(msgspec.Struct, frozen=True):
    """The empty search."""

    def clause(self, _setting: Setting, /) -> ColumnElement[bool]:
        return true()


class And(msgspec.Struct, frozen=True):
    """All of these."""

    children: tuple[Node, ...]

    def clause(self, setting: Setting, /) -> ColumnElement[bool]:
        return and_(*(child.clause(setting) for child in self.children))


class Or(msgspec.Struct, frozen=True):
    """Any of these."""

    children: tuple[Node, ...]

    def clause(self, setting: Setting, /) -> ColumnElement[bool]:
        return or_(*(child.clause(setting) for child in self.children))


class Not(msgspec.Struct, frozen=True):
    """Whatever the child does not find, because it is false or because it is unknown."""

    child: Node

    def clause(self, setting: Setting, /) -> ColumnElement[bool]:
        return self.child.clause(setting).is_not(true())


class Anywhere(msgspec.Struct, frozen=True):
    """A word without a field."""

    pattern: Pattern

    def clause(self, setting: Setting, /) -> ColumnElement[bool]:
        labels = (_label(setting, field, (self.pattern.within(_LABELS[field][2]),)) for field in ("name", "worker"))
        return or_(*labels, *(self.pattern.within(column) for column in _ANYWHERE))


class Text(msgspec.Struct, frozen=True):
    """A pattern anywhere in a long text."""

    field: str
    pattern: Pattern

    def clause(self, _setting: Setting, /) -> ColumnElement[bool]:
        return self.pattern.within(_task[self.field])


class Label(msgspec.Struct, frozen=True):
    """Any of the patterns in the name, the queue or the worker."""

    field: str
    patterns: tuple[Pattern, ...]

    def clause(self, setting: Setting, /) -> ColumnElement[bool]:
        word = _LABELS[self.field][2]
        return _label(setting, self.field, tuple(_in_short(pattern, word) for pattern in self.patterns))


class Identity(msgspec.Struct, frozen=True):
    """Any of these ids, complete (``equal``) or in part, in ``uuid``, ``root`` or ``parent``."""

    field: str
    equal: tuple[str, ...]
    patterns: tuple[Pattern, ...]

    def clause(self, _setting: Setting, /) -> ColumnElement[bool]:
        column = _task[self.field]
        found = [_in_short(pattern, column) for pattern in self.patterns]
        if self.equal and self.field == "uuid":
            keys = [schema.task_key(uuid) for uuid in self.equal]
            found.append(and_(_task.key.in_(keys), column.in_(self.equal)))
        elif self.equal:
            found.append(column.in_(self.equal))
        return or_(*found)


class State(msgspec.Struct, frozen=True):
    """Any of these states, or of these patterns of one."""

    values: tuple[str, ...]
    patterns: tuple[Pattern, ...] = ()

    def clause(self, _setting: Setting, /) -> ColumnElement[bool]:
        found = [pattern.equals(_task.state) for pattern in self.patterns]
        if self.values:
            found.append(_task.state.in_(self.values))
        return or_(*found)


class Keyword(msgspec.Struct, frozen=True):
    """A keyword argument with exactly this value, in the text of a Python or JSON dictionary."""

    key: Pattern
    value: Pattern

    def clause(self, _setting: Setting, /) -> ColumnElement[bool]:
        exact = or_(*(pattern.within(_task.kwargs) for pattern in spellings(self.key, self.value)))
        rough = common(self.key, self.value)
        return exact if rough is None else and_(rough.within(_task.kwargs), exact)


class Compare(msgspec.Struct, frozen=True):
    """A number, a duration or a time that lies in an interval."""

    field: str
    interval: Interval

    def clause(self, setting: Setting, /) -> ColumnElement[bool]:
        column = _task[self.field]
        low, high = self.interval.bounds(setting.clock)
        found: list[ColumnElement[bool]] = []
        if low is not None:
            found.append(column > low if self.interval.low_open else column >= low)
        if high is not None:
            found.append(column < high if self.interval.high_open else column <= high)
        return and_(*found)


class Has(msgspec.Struct, frozen=True):
    """Something is known there."""

    field: str

    def clause(self, _setting: Setting, /) -> ColumnElement[bool]:
        column = _LABELS[self.field][0] if self.field in _LABELS else _task[self.field]
        return column.is_not(None)


class Is(msgspec.Struct, frozen=True):
    """A condition that has a name."""

    condition: Condition

    def clause(self, setting: Setting, /) -> ColumnElement[bool]:  # noqa: PLR0911, C901 - one line per condition
        running = _task.state.in_(_states_beside(_NOT_RUNNING))
        match self.condition:
            case "doubted":
                return _task.state.in_(_DOUBTED)
            case "failed":
                return _task.state == states.FAILURE
            case "finished":
                return _task.state.in_(sorted(states.FINAL))
            case "lost":
                return _task.state == states.LOST
            case "redelivered":
                return _task.redelivered > 0
            case "retried":
                return _task.retries > 0
            case "running":
                return running
            case "slow":
                return or_(_task.runtime > SLOW, and_(running, _task.started < setting.clock.now - SLOW))
            case "unknown":
                return _task.state == states.UNKNOWN
            case "waiting":
                return _task.state.in_(_WAITING)


def _in_short(pattern: Pattern, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """A pattern in a short value: with a gap it has to cover all of it."""
    return pattern.equals(column) if pattern.has_gap else pattern.within(column)


def _label(setting: Setting, field: str, found: tuple[ColumnElement[bool], ...]) -> ColumnElement[bool]:
    """Tasks that refer to such a row of the field's own table: it is read once, if it is small, and an index serves.

    A step of a search can't take so long as it takes to read a table of very many.
    """
    reference, number, _ = _LABELS[field]
    if setting.looked_up:
        return select(number).where(number == reference, or_(*found)).correlate(schema.task).exists()
    return reference.in_(select(number).where(or_(*found)))


def _states_beside(known: tuple[str, ...]) -> Select[tuple[str]]:
    """The other states that any task is in: in the index one leads to the next, so that no task has to be looked at."""
    tasks = schema.task.alias()
    found = select(func.min(tasks.c.state).label("state")).cte(recursive=True)
    following = schema.task.alias()
    later = select(func.min(following.c.state)).where(following.c.state > found.c.state).scalar_subquery()
    found = found.union_all(select(later).where(found.c.state.is_not(None)))
    return select(found.c.state).where(found.c.state.not_in(known))
