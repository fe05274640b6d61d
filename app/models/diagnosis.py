"""What needs attention: plain rules over what a history knows, each finding with a remedy.

`signs.look` asks the history, `diagnose` judges and touches nothing. All of it is about the present: what another day
was like is told by its tasks and charts.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from app.models import states
from app.models.formats import age, clock_offset, clock_time, coarse, count, duration, listed, number_of
from app.models.profiles import TO_OPERATE
from app.models.records import Worker
from app.models.search import quote
from app.models.signs import ALIVE, MOST, Signs

Severity = Literal["error", "warning", "info"]

#: Seconds that we have to listen before something is called absent: heartbeats come every two seconds.
PATIENCE: Final = 10.0
#: Seconds for which gaps and lost workers that had no task are told.
DAY: Final = 86_400.0
#: Seconds by which a clock has to differ.
CLOCK: Final = 1.0
#: Workers that are told of one by one.
_ONE_BY_ONE: Final = 3

#: What one event of a class that is shed is called; classes are event types, or say why there was no room.
CLASSES: Final = {
    "worker-heartbeat": "heartbeat",
    "task-sent": "sending",
    "task-received": "reception",
    "task-started": "start",
    "task-succeeded": "successful end",
}
_LOOK: Final = "Look at the process and its host."
_COMES_BACK: Final = (
    "Tasks that are acknowledged late are delivered again by the broker, on Redis after the visibility timeout; others "
    "have to be sent again."
)
_SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "info")


class Action(msgspec.Struct, frozen=True):
    """What can be done at once: show a queue (by name), tasks (by a search) or a worker, or turn events on."""

    kind: Literal["queue", "tasks", "worker", "events"]
    target: str = ""


class Finding(msgspec.Struct, frozen=True):
    """One thing that needs attention.

    ``key`` stays the same while it lasts. ``text`` says what is wrong in a sentence, ``evidence`` how that is known,
    ``remedy`` what to do; ``since`` is when it began, None where that is not known.
    """

    key: str
    severity: Severity
    since: float | None
    text: str
    evidence: str
    remedy: str
    action: Action | None = None

    @property
    def pressing(self) -> bool:
        """Whether it is more than a hint."""
        return self.severity != "info"


def diagnose(signs: Signs) -> list[Finding]:
    """What needs attention, the worst first."""
    found = [finding for rule in _RULES for finding in rule(signs)]
    return sorted(found, key=lambda finding: _SEVERITIES.index(finding.severity))


# --- the rules, in the order in which findings of one severity stand -------------------------------------------------


def _unattended(signs: Signs) -> Iterator[Finding]:
    """Messages wait and nobody takes them."""
    if signs.listening is None or signs.now - signs.listening < PATIENCE:
        return
    waiting = [queue for queue in signs.queues if queue.ready and not queue.rests]
    alive = [worker for worker in signs.workers if worker.state in ALIVE]
    if waiting and not alive:
        ready = sum(queue.ready or 0 for queue in waiting)
        heard = max((worker.heartbeat or worker.seen for worker in signs.workers), default=None)
        last = "none was ever heard of" if heard is None else f"the last one was heard {age(signs.now - heard)} ago"
        yield Finding(
            "workers:none",
            "error",
            heard,
            "No worker is alive.",
            f"{number_of(ready, 'message')} in {number_of(len(waiting), 'queue')} wait; {last}",
            "Start workers, or look why they ended.",
        )
        return
    told = all(worker.queues is not None for worker in alive)
    for queue in waiting:
        if queue.consumers != 0:
            continue
        oldest = "" if queue.oldest is None else f", oldest {'' if queue.oldest_exact else '≥ '}{coarse(queue.oldest)}"
        yield Finding(
            f"queue:{queue.name}",
            "error" if told else "warning",
            None if queue.oldest is None else (queue.sampled or signs.now) - queue.oldest,
            f"Nobody consumes queue {queue.name}." if told else f"No worker that answered consumes queue {queue.name}.",
            f"{count(queue.ready)} waiting{oldest}",
            "Start a worker with -Q and its name, or have a running one consume it.",
            Action("queue", queue.name),
        )


def _dead_letters(signs: Signs) -> Iterator[Finding]:
    """Messages that were given up; that nobody consumes them is as it should be."""
    for queue in signs.queues:
        if more := signs.grown.get(queue.name):
            yield Finding(
                f"dead:{queue.name}",
                "warning",
                None,
                f"Dead letters come into queue {queue.name}.",
                f"{count(more)} more than within the last hour, {count(queue.ready)} in all, "
                f"from {listed(queue.dead_letters_of) or 'other queues'}",
                "Look at them: they were rejected, or expired, or too many. Nobody runs them from there.",
                Action("queue", queue.name),
            )


def _lost_workers(signs: Signs) -> Iterator[Finding]:
    """Workers that are gone without a goodbye."""
    gone = [worker for worker in signs.workers if worker.state == "lost"]
    holding = [worker for worker in gone if signs.lost.get(worker.hostname)]
    others = [
        worker
        for worker in gone
        if not signs.lost.get(worker.hostname) and signs.now - (worker.since or worker.heartbeat or worker.seen) < DAY
    ]
    for workers in (holding, others):
        if len(workers) > _ONE_BY_ONE:
            yield _many_lost(signs, workers)
        else:
            yield from (_one_lost(signs, worker) for worker in workers)


def _one_lost(signs: Signs, worker: Worker) -> Finding:
    tasks = signs.lost.get(worker.hostname, 0)
    had = f" with {_lost_tasks(signs, tasks)}" if tasks else ""
    heard = signs.now - (worker.heartbeat or worker.seen)
    taken = (worker.held or 0) - tasks
    recovered = f"; of {number_of(taken, 'other task')} it had, more was heard" if taken > 0 else ""
    return Finding(
        f"lost:{worker.hostname}",
        "error" if tasks else "warning",
        worker.since,
        f"Worker {worker.hostname} is lost{had}.",
        f"Last heard {duration(heard)} ago{recovered}",
        f"{_LOOK} {_COMES_BACK}" if tasks else _LOOK,
        Action("tasks", f"is:lost worker:{quote(worker.hostname)}") if tasks else Action("worker", worker.hostname),
    )


def _many_lost(signs: Signs, workers: Sequence[Worker]) -> Finding:
    tasks = sum(signs.lost.get(worker.hostname, 0) for worker in workers)
    had = f" with {_lost_tasks(signs, tasks)}" if tasks else ""
    return Finding(
        "lost:tasks" if tasks else "lost",
        "error" if tasks else "warning",
        min((worker.since for worker in workers if worker.since is not None), default=None),
        f"{number_of(len(workers), 'worker')} are lost{had}.",
        listed([worker.hostname for worker in workers]),
        f"{_LOOK} {_COMES_BACK}" if tasks else _LOOK,
        Action("tasks", "is:lost") if tasks else Action("worker", workers[0].hostname),
    )


def _left_tasks(signs: Signs) -> Iterator[Finding]:
    """Tasks that were lost with workers that left, or were started anew."""
    lost = {worker.hostname for worker in signs.workers if worker.state == "lost"}
    tasks = sum(n for hostname, n in signs.lost.items() if hostname not in lost)
    if tasks:
        left = [hostname for hostname in signs.lost if hostname not in lost]
        yield Finding(
            "lost:left",
            "warning",
            signs.doubted.get(states.LOST, (0, None))[1],
            f"{_lost_tasks(signs, tasks)} {'was' if tasks == 1 else 'were'} lost when workers left or were restarted.",
            listed(left),
            _COMES_BACK,
            Action("tasks", "is:lost"),
        )


def _lost_tasks(signs: Signs, looked_at: int) -> str:
    """How many, of those that were looked at; where there are more, there may be more of these too."""
    all_of_them = signs.doubted.get(states.LOST, (0, 0.0))[0] <= sum(signs.lost.values())
    return number_of(looked_at, "task") if all_of_them else f"at least {number_of(looked_at, 'task')}"


def _no_events(signs: Signs) -> Iterator[Finding]:
    """Workers that do their work and tell nothing of it."""
    mute = [worker for worker in signs.workers if worker.events is False and worker.state in ALIVE]
    if mute:
        one = len(mute) == 1
        yield Finding(
            "events",
            "warning",
            None,
            f"{number_of(len(mute), 'worker')} {'runs' if one else 'run'} without -E.",
            f"Nothing is heard of {'its' if one else 'their'} tasks: {listed([w.hostname for w in mute])}",
            f"Start {'it' if one else 'them'} with -E, or {TO_OPERATE}, and turn events on.",
            Action("events"),
        )


def _missed(signs: Signs) -> Iterator[Finding]:
    """Tasks that workers counted and did not tell us of."""
    missing = sorted((w for w in signs.workers if w.missed and w.events is not False), key=lambda w: -w.missed)
    if missing:
        n = sum(worker.missed for worker in missing)
        yield Finding(
            "missed",
            "warning",
            None,
            f"{number_of(n, 'task')} began that we were not told of.",
            listed([f"{count(worker.missed)} by {worker.hostname}" for worker in missing]),
            "Their events were off, or were lost between the worker and here: counts and charts are that much too low.",
            Action("worker", missing[0].hostname),
        )


def _shed(signs: Signs) -> Iterator[Finding]:
    """Events that came too fast."""
    shed = signs.accounting.shed
    if n := sum(shed.values()):
        yield Finding(
            "shed",
            "warning",
            None,
            f"{number_of(n, 'event')} had to be dropped: more came than could be taken.",
            class_counts(shed),
            "It is missing from the tasks. Give this computer more time and room, or record nearer to the broker.",
        )


def _rejected(signs: Signs) -> Iterator[Finding]:
    """Messages that could not be understood."""
    rejected = signs.accounting.rejected
    if n := sum(rejected.values()):
        yield Finding(
            "rejected",
            "warning",
            None,
            f"{number_of(n, 'message')} could not be understood.",
            listed([f"{count(number)} {reason}" for reason, number in _most_first(rejected)]),
            "Something that is not Celery publishes to its event channel, or an event is larger than is taken.",
        )


def _clocks(signs: Signs) -> Iterator[Finding]:
    """Clocks that do not agree with ours."""
    known = [(w.clock_offset, w.hostname) for w in signs.workers if w.clock_offset is not None and w.state in ALIVE]
    wrong = sorted((each for each in known if abs(each[0]) > CLOCK), key=lambda each: -abs(each[0]))
    if not wrong:
        return
    worst, hostname = wrong[0]
    offsets = [offset for offset, _ in known]
    if len(known) > 1 and len(wrong) == len(known) and max(offsets) - min(offsets) < CLOCK:
        text = f"The clock of this computer is {clock_offset(-worst)}, if all workers are right."
    elif len(wrong) == 1:
        text = f"The clock of worker {hostname} is {clock_offset(worst)}."
    else:
        text = f"The clocks of {number_of(len(wrong), 'worker')} differ from ours by more than a second."
    yield Finding(
        "clocks",
        "warning",
        None,
        text,
        listed([f"{name} {clock_offset(offset)}" for offset, name in wrong]) if len(wrong) > 1 else "",
        "Set the clocks by NTP: waits and ages that span two hosts are wrong by the difference.",
        Action("worker", hostname),
    )


def _unknown_tasks(signs: Signs) -> Iterator[Finding]:
    """Tasks of which nobody can tell how they ended."""
    n, since = signs.doubted.get(states.UNKNOWN, (0, 0.0))
    if n:
        yield Finding(
            "unknown",
            "warning",
            since,
            f"Of {_tasks(n)} it is not known what became.",
            "Cloche was not listening, or their worker told no end",
            "Where results are kept, they tell. Else look into the logs of their workers.",
            Action("tasks", "is:unknown"),
        )


def _gaps(signs: Signs) -> Iterator[Finding]:
    """Times in which nobody listened."""
    recent = [gap for gap in signs.gaps if gap.end is None or signs.now - gap.end < DAY]
    if not recent:
        return
    last = recent[-1]
    why = last.why.removesuffix(".")
    remedy = "What happened meanwhile is missing from counts and charts; charts show the time in grey."
    if last.end is None:
        lasts = duration(max(0.0, signs.now - last.start))
        yield Finding("gap", "error", last.start, "Nobody listens to the broker.", f"{lasts} so far: {why}", remedy)
        return
    total = sum((gap.end or 0.0) - max(gap.start, signs.now - DAY) for gap in recent)
    times = "once" if len(recent) == 1 else f"{len(recent)} times"
    yield Finding(
        "gap",
        "info",
        None,
        f"Nobody listened {times} in the last 24 hours, for {duration(total)} in all.",
        f"Last until {clock_time(last.end, milliseconds=False)}: {why}",
        remedy,
    )


def _unannounced_names(signs: Signs) -> Iterator[Finding]:
    """Producers that do not tell what they send."""
    names = signs.unannounced
    if names:
        tasks = next(iter(names)) if len(names) == 1 else f"{len(names)} kinds of tasks"
        lately = listed([f"{count(n)} {name}" for name, n in names.items()])
        yield Finding(
            "unannounced",
            "info",
            None,
            f"Who sends {tasks} does not tell of it.",
            f"Received lately, and none of them announced: {lately}",
            "Set task_send_sent_event = True where they are sent: else nobody can tell how long they wait in their "
            "queue. What was sent before Cloche listened is not announced either.",
            Action("tasks", "-has:sent"),
        )


def _tasks(n: int) -> str:
    return f"more than {count(MOST)} tasks" if n > MOST else number_of(n, "task")


def _history(signs: Signs) -> Iterator[Finding]:
    """The history itself is in trouble."""
    if signs.trouble:
        what, _, remedy = signs.trouble.partition(". ")
        text = what if what.endswith(".") else f"{what}."
        yield Finding("history", "error", None, text, "", remedy)


_RULES: Final = (
    _history,
    _unattended,
    _dead_letters,
    _lost_workers,
    _left_tasks,
    _no_events,
    _missed,
    _shed,
    _rejected,
    _clocks,
    _unknown_tasks,
    _gaps,
    _unannounced_names,
)


def class_counts(shed: Mapping[str, int], most: int = 6) -> str:
    """What was shed, by class in plain words: ``1,200 heartbeats, 4 receptions``."""
    return listed([_of_class(name, n) for name, n in _most_first(shed)], most)


def _of_class(name: str, n: int) -> str:
    return number_of(n, CLASSES[name]) if name in CLASSES else f"{count(n)} ({name})"


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((name, n) for name, n in counts.items() if n), key=lambda item: (-item[1], item[0]))
