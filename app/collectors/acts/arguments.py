"""Finds what tasks were really called with: from the best place that still has it, and graded for what that is worth.

1. The message itself, where the broker shows it without giving it away: on Redis in its queue, with a worker
   (``unacked``) or in a quarantine, on RabbitMQ in a quarantine. That is *exact* whatever its serializer, as its body
   is sent again byte by byte.
2. A worker that has the task now, and what one told while it ran for long. That is *exact* where workers take nothing
   but JSON: it tells tuples as lists, and what was pickled in other forms than it had.
3. The result backend, where results are extended. Celery stores what the arguments are when the task *ended*, and a
   task may have changed a list that it was given (measured with Celery 5.7). So of those that hold others, only what
   the text of events also says is *exact*.
4. The text of events, which is never more than *reconstructed* (`models.arguments`).
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from app.collectors.acts.act import Reach
from app.collectors.checks import MAX_WORD
from app.collectors.clean import clean_word
from app.collectors.control import Control
from app.collectors.envelope import Known, Original, Unfaithful, again, arguments_of, made
from app.collectors.envelope import TaskMessage as Message
from app.collectors.errors import BrokerError
from app.collectors.inspector import Called, from_query, takes_json_only
from app.collectors.originals import Found
from app.collectors.publisher import Route, Unroutable
from app.collectors.results import Stored, stored
from app.models import arguments, states
from app.models.acts import Edited
from app.models.arguments import Arguments, checked, containers, of_text, same, to_json
from app.models.history.reader import Reader
from app.models.records import Task, Told

#: Ids that workers are asked about at a time, and seconds to wait for them.
BATCH: Final = 200
PATIENCE: Final = 5.0
#: What is told where a task's message is not there any more.
GONE: Final = "time limits, headers and what follows it (link, link_error, chain), as its message is gone"
#: What is stored with these is of the last attempt. A retry, or a progress, may be followed by other arguments.
_OF_AN_END: Final = (states.SUCCESS, states.FAILURE)
_OLD_FORM: Final = (
    "Its message is of Celery's old protocol 1. It is sent in that of today, which workers of Celery 4 and later "
    "understand."
)
_AT_ONCE: Final = "It was to run at its ETA; now it runs at once."
_NO_ROUTE: Final = "It is not known which queue it went to. Choose one."
_PICKLED: Final = "Its workers also take other forms than JSON: what they tell may differ from what was sent."
_UNASKED: Final = "No worker told whether tasks are sent as JSON here: else what is told may differ from what was sent."
_HAS_CHANGED: Final = "What is stored is what these were when the task ended, which may have changed them."


class Case(msgspec.Struct):
    """A task that is to be sent again: what is known of it, and from where.

    ``route`` is None where nobody knows where it went. ``kept`` and ``lost`` are what goes along with it and what does
    not, ``warnings`` what somebody should know, all in words. ``refusal`` is why it can't be sent even so.
    """

    id: str
    name: str
    arguments: Arguments
    route: Route | None
    task: Task | None = None
    original: Original | None = None
    priority: int | None = None
    kept: list[str] = []
    lost: list[str] = []
    warnings: list[str] = []
    refusal: str = ""

    @property
    def shown(self) -> str:
        """Its name, for people."""
        return clean_word(self.name[:MAX_WORD])

    @property
    def where(self) -> Route:
        """Where it is sent. Raises `Unroutable`."""
        if self.route is None:
            raise Unroutable(_NO_ROUTE)
        return self.route

    def message(self, id_: str, now: float, edited: Edited | None = None) -> Message:
        """The message to be sent. Raises `Unfaithful`, and ``ValueError`` where what was edited is no JSON."""
        changed = None if edited is None else checked(edited.args, edited.kwargs)
        if self.original is not None:
            return again(self.original, id_, now, changed).message
        args, kwargs = changed or checked(self.arguments.args, self.arguments.kwargs)
        task = self.task
        lasts = None if task is None or task.expires is None or task.sent is None else task.expires - task.sent
        known = Known(
            name=self.name,
            args=args,
            kwargs=kwargs,
            id=id_,
            root=self.id if task is None or task.root is None else task.root,
            parent=self.id,
            priority=self.priority,
            expires=None if lasts is None or lasts <= 0 else now + lasts,
        )
        return made(known, retried_from=self.id)


class Lookup:
    """Looks for the arguments of tasks everywhere; what it can't reach is in ``troubles``, in sentences."""

    def __init__(self, reach: Reach, give_up: Callable[[], bool]) -> None:
        self.troubles: list[str] = []
        self._reach = reach
        self._give_up = give_up
        self._control: Control | None = None

    def stop(self) -> None:
        """Wait for no more answers; may be called from any thread."""
        if self._control is not None:
            self._control.give_up()

    def cases(self, ids: Sequence[str], queue: str | None) -> list[Case]:
        """What is known of tasks, in the order of their ids, to be sent to their own queues or to a ``queue``."""
        past = self._past(ids)
        found = self._messages(ids, past)
        missing = [id_ for id_ in ids if id_ not in found]
        json_only, called = self._ask_workers(missing) if missing else (None, {})
        results = self._reach.results
        kept = self._try(lambda: stored(results, missing), {}) if results is not None and missing else {}
        route = None if queue is None else Route("", queue)
        cases = []
        for id_ in ids:
            task = past.tasks.get(id_)
            if id_ in found and (original := found[id_].original) is not None:
                case = _of_message(id_, found[id_], original, task)
            else:
                case = _of_told(id_, task, called.get(id_), past.told.get(id_), kept.get(id_), json_only=json_only)
                case.route = _route(task, called.get(id_), kept.get(id_), past)
                case.refusal = found[id_].why if id_ in found else case.refusal
            case.route = route or case.route
            case.warnings = _warnings(case, found.get(id_))
            if case.route is None:
                case.refusal = case.refusal or _NO_ROUTE
            cases.append(case)
        return cases

    def _past(self, ids: Iterable[str]) -> "_Past":
        """Raises `Impossible` where the history can't be read: whether a task succeeded, say, is not to be guessed."""
        past = _Past()
        with self._reach.reading() as reader:
            if reader is not None:
                past.read(reader, ids)
        return past

    def _messages(self, ids: Iterable[str], past: "_Past") -> dict[str, Found]:
        """The messages of tasks that lie in the broker; of what has ended there is none any more."""
        waiting = [id_ for id_ in ids if id_ not in past.tasks or past.tasks[id_].state not in states.FINAL]
        if not waiting:
            return {}
        queues = list(dict.fromkeys([*(task.queue for task in past.tasks.values() if task.queue), *past.queues]))
        look = partial(
            self._reach.broker.find,
            waiting,
            queues or self._queues_there,
            self._reach.access.mode,
            give_up=self._give_up,
        )
        return self._try(lambda: look().found, {})

    @property
    def _queues_there(self) -> list[str]:
        """The queues that the broker tells of, where nobody else knows any."""
        looking = self._reach.broker.queues([], on_command=self._reach.on_command)
        try:
            return [queue.name for queue in looking.poll().queues] or ["celery"]
        except BrokerError as error:
            self.troubles.append(str(error))
            return ["celery"]
        finally:
            looking.close()

    def _ask_workers(self, ids: Sequence[str]) -> tuple[bool | None, dict[str, Called]]:
        """Whether all workers take JSON only (None where none told), and what they have of these tasks."""
        access, called, disputed = self._reach.access, dict[str, Called](), set[str]()
        if access.mode == "passive":
            return None, called
        control = self._reach.broker.control(access.mode, on_command=self._reach.on_command)
        if control is None:
            return None, called
        self._control = control
        try:
            settings = control.ask("conf", arguments={"with_defaults": True}, timeout=PATIENCE)
            told = [takes_json_only(answer) for answer in settings.values()]
            for at in range(0, len(ids) if settings else 0, BATCH):
                if self._give_up():
                    break
                some = list(ids[at : at + BATCH])
                hostnames = [name for name, answer in settings.items() if takes_json_only(answer)]
                if hostnames:
                    answers = control.ask("query_task", hostnames, arguments={"ids": some}, timeout=PATIENCE)
                    for id_, one in (each for answer in answers.values() for each in from_query(answer).items()):
                        other = called.setdefault(id_, one)
                        if not same([other.args, other.kwargs], [one.args, one.kwargs]):
                            disputed.add(id_)
        except BrokerError as error:
            self.troubles.append(f"Workers could not be asked. {error}")
            return None, called
        finally:
            control.close()
        for id_ in disputed:
            del called[id_]
            self.troubles.append(f"Workers say different things of what {clean_word(id_)} is called with: none counts.")
        return (all(told) if told and None not in told else None), called

    def _try(self, look: Callable[[], dict[str, Any]], otherwise: dict[str, Any]) -> dict[str, Any]:
        try:
            return look()
        except BrokerError as error:
            self.troubles.append(str(error))
            return otherwise


class _Past:
    """What the history knows of tasks, and of where tasks go."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.told: dict[str, Told] = {}
        self.queues: list[str] = []
        #: The one queue of each worker that has only one.
        self.only: dict[str, str] = {}

    def read(self, reader: Reader, ids: Iterable[str]) -> None:
        for id_ in ids:
            task = reader.task(id_)
            if task is not None:
                self.tasks[id_] = task
                if (told := reader.told(task.id)) is not None:
                    self.told[id_] = told
        self.queues = [queue.name for queue in reader.queues()]
        self.only = {
            worker.hostname: worker.queues[0]
            for worker in reader.workers()
            if worker.queues is not None and len(worker.queues) == 1
        }


def _of_message(id_: str, found: Found, original: Original, task: Task | None) -> Case:
    """What is known of a task whose message was found."""
    original = msgspec.structs.replace(original, sent=None if task is None else task.sent)
    headers, values = original.message.headers, arguments_of(original.message)
    queue = clean_word(found.queue)
    where = {
        "queue": f"its message in the queue {queue}",
        "unacked": "its message, which a worker holds",
        "quarantine": f"its message in a quarantine of {queue}",
    }[found.place]
    if values is None:
        told = of_text(_text(headers.get("argsrepr")), _text(headers.get("kwargsrepr")), json_only=False)
        known = msgspec.structs.replace(told, grade="exact", source=where, readable=False, doubtful=[])
    else:
        known = Arguments(grade="exact", source=where, args=to_json(values[0]), kwargs=to_json(values[1]))
    case = Case(id_, str(headers["task"]), known, Route(original.exchange, original.routing_key), task, original)
    try:
        sent = again(original, "", 0.0)
        case.kept, case.lost = sent.kept, sent.lost
    except Unfaithful as refused:
        case.refusal = str(refused)
    return case


def _of_told(
    id_: str,
    task: Task | None,
    called: Called | None,
    told: Told | None,
    kept: Stored | None,
    *,
    json_only: bool | None,
) -> Case:
    """What is known of a task whose message is not there any more."""
    name = (task.name if task is not None else None) or ""
    if task is not None:
        text = of_text(task.args, task.kwargs, json_only=bool(json_only))
    else:
        text = of_text(None, None, json_only=False, source="nothing that is known")
    case = Case(id_, name, text, None, task)
    if called is not None and name in ("", called.name):
        case.name, case.priority = called.name, called.delivery_info.priority
        # Of workers that take anything else, none was asked.
        case.arguments = _exactly("the worker that has it", called.args, called.kwargs)
    elif told is not None and task is not None and _is_of_this_attempt(told, task):
        case.arguments = Arguments(grade="exact", source="its worker, while it ran", args=told.args, kwargs=told.kwargs)
    elif kept is not None and name in ("", kept.name):
        case.name = kept.name
        case.arguments = of_stored(kept, text, json_only=json_only)
    case.kept = [f"priority {case.priority}"] if case.priority else []
    case.lost = [GONE if called is not None else f"priority, {GONE}"]
    if task is not None and task.expires is not None:
        kept_expiry = task.sent is not None and task.expires > task.sent
        case.kept += ["its expiry, as long after sending as before"] if kept_expiry else []
        case.lost += [] if kept_expiry else ["its expiry, as it is not known how long after sending that was"]
    if not case.name:
        case.refusal = "Nothing is known of this task, not even its name."
    return case


def _is_of_this_attempt(told: Told, task: Task) -> bool:
    """Whether what a worker told is of the last attempt: a retry may be called with something else."""
    return not task.retries or (task.started is not None and told.at >= task.started)


def of_stored(kept: Stored, text: Arguments, *, json_only: bool | None) -> Arguments:
    """What a result backend tells of arguments, compared with the ``text`` of events."""
    said = dict(arguments.walk(*checked(text.args, text.kwargs)))
    sure = {path: value for path, value in said.items() if not _is_doubted(path, text.doubtful)}
    stored_ = dict(arguments.walk(kept.args, kept.kwargs))
    if kept.status == states.STARTED:
        open_ = []
    elif kept.status in _OF_AN_END:
        open_ = containers(kept.args, kept.kwargs)
    else:
        open_ = list(stored_)
    doubtful = [path for path in open_ if path not in sure or not same(sure[path], stored_[path])]
    # Where they differ, the text tells how it was before.
    before = stored_ | {path: sure[path] for path in doubtful if path in sure}
    values = iter(before.values())
    notes = [] if json_only else [_UNASKED if json_only is None else _PICKLED]
    return Arguments(
        grade="exact" if json_only and not doubtful else "reconstructed",
        source="the result backend",
        args=to_json([next(values) for _ in kept.args]),
        kwargs=to_json({key: next(values) for key in kept.kwargs}),
        doubtful=doubtful,
        notes=notes + ([_HAS_CHANGED] if doubtful else []),
    )


def _is_doubted(path: str, doubtful: Iterable[str]) -> bool:
    """Whether the argument at a path, something in it, or all of them are in doubt."""
    return any(doubt in (path, "args", "kwargs") or doubt.startswith((f"{path}.", f"{path}[")) for doubt in doubtful)


def _exactly(source: str, args: list[Any], kwargs: dict[str, Any]) -> Arguments:
    return Arguments(grade="exact", source=source, args=to_json(args), kwargs=to_json(kwargs))


def _route(task: Task | None, called: Called | None, kept: Stored | None, past: _Past) -> Route | None:
    """Where a task went whose message is not there any more."""
    if called is not None and called.delivery_info.routing_key is not None:
        return Route(called.delivery_info.exchange or "", called.delivery_info.routing_key)
    if task is not None and task.queue:
        return Route("", task.queue)
    for name in (kept.queue if kept is not None else None, past.only.get(task.worker or "") if task else None):
        if name and (name in past.queues or name in past.only.values()):
            return Route("", name)
    return None


def _warnings(case: Case, found: Found | None) -> list[str]:
    """What somebody should know before it is sent again."""
    task, place = case.task, None if found is None else found.place
    state = None if task is None else task.state
    said = {
        "It succeeded before: what it did may be done twice.": state == states.SUCCESS,
        "It is running now.": state == states.STARTED and place != "queue",
        "It is retried by itself.": state == states.RETRY,
        "Its message still waits in its queue: it runs twice, then.": place == "queue",
        "A worker still holds its message; where that dies, it is delivered again by itself.": place == "unacked",
        "Its message is in a quarantine; to restore that runs it, too.": place == "quarantine",
        _AT_ONCE: case.original is not None and bool(case.original.message.headers.get("eta")),
        _OLD_FORM: case.original is not None and case.original.protocol == 1,
        "What follows in its chain has ids already, and keeps them.": "the rest of its chain" in case.kept,
    }
    return [sentence for sentence, holds in said.items() if holds] + case.arguments.notes


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
