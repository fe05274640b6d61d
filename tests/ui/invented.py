"""A history of things that never happened, made by the same reducer and writer that make the real ones."""

from pathlib import Path
from typing import Final

from app.models.history.rows import gap_row
from app.models.history.writer import Writer
from app.models.records import Event, Gap, Queue
from app.models.reducer import Reducer
from tests.ui.histories import failed, heartbeat, received, sent, started, succeeded

MINUTES: Final = 20
#: Of every ten tasks of `shop.charge` one fails; no other task does.
PER_MINUTE: Final = 30
#: Seconds before the end at which we did not listen, from and to.
GAP: Final = (300.0, 240.0)
WORKERS: Final = ("w1@one", "w2@two")
WAIT: Final = 0.5
RUN: Final = {"shop.charge": 2.0, "shop.mail": 0.25}


def write_history(path: Path, end: float) -> None:
    """Half of the tasks are ``shop.charge`` in queue ``money``, half ``shop.mail`` in ``mail``.

    Each waits `WAIT` and runs `RUN`. Worker w2 falls silent a minute before the end and is lost. Queue ``mail`` holds
    three messages all the time, the oldest for 90 s; ``money`` is empty.
    """
    start = end - MINUTES * 60
    gap = (end - GAP[0], end - GAP[1])
    with Writer(path) as writer:
        writer.set_meta(created=repr(start), name="shop", broker="redis://shop.example/0")
        reducer = Reducer(writer, writer.known())
        reducer.listen(None, start)
        events = sorted(_events(start, end), key=lambda event: event.timestamp)
        heard = 0
        now = start
        while now < end:
            now = min(now + 5.0, end)
            due = [event for event in events if now - 5.0 <= event.timestamp < now]
            if gap[0] <= now - 5.0 < gap[1]:
                continue
            for event in due:
                event.seen = event.timestamp
            heard += len(due)
            reducer.fold(due, now)
            for hostname in WORKERS:
                reducer.fold_inspection(hostname, {"pool": "prefork", "slots": 4, "queues": ["mail", "money"]}, now)
            reducer.fold_queues(_queues(now), now)
            reducer.tick(now)
            batch = reducer.flush()
            rows = writer.rows(batch)
            rows.alive = now
            rows.accounting = [("received", "", heard + 1), ("stored", "", heard), ("rejected", "size", 1)]
            rows.gaps = [gap_row(1, Gap(*gap, "disconnected"))] if now > gap[1] else []
            writer.commit(rows)
            reducer.committed(batch)


def _queues(now: float) -> list[Queue]:
    return [
        Queue("mail", now, ready=3, by_priority={"0": 3}, unacked=1, oldest=90.0, oldest_exact=True),
        Queue("money", now, ready=0, by_priority={"0": 0}, unacked=0),
    ]


def _events(start: float, end: float) -> list[Event]:
    events = []
    for number in range(int((end - start) / 60 * PER_MINUTE)):
        uuid, at = f"{number:032x}", start + number * 60 / PER_MINUTE
        name, queue = ("shop.charge", "money") if number % 2 else ("shop.mail", "mail")
        worker = WORKERS[number % 2] if at < end - 65 else WORKERS[0]
        begun, ended = at + WAIT, at + WAIT + RUN[name]
        events += [
            sent(uuid, at, name, queue),
            received(uuid, at + 0.1, worker, name),
            started(uuid, begun, worker),
            failed(uuid, ended, worker) if number % 20 == 1 else succeeded(uuid, ended, RUN[name], worker),
        ]
    for worker in WORKERS:
        last = end if worker == WORKERS[0] else end - 60
        events += [heartbeat(worker, start + second, active=1) for second in range(0, int(last - start), 2)]
    return [event for event in events if event.timestamp < end]


def write_nothing(path: Path, now: float) -> None:
    """A worker is there, but no task was ever heard of."""
    with Writer(path) as writer:
        writer.set_meta(created=repr(now - 60), name="empty", broker="redis://shop.example/0")
        reducer = Reducer(writer, writer.known())
        reducer.fold([heartbeat(WORKERS[0], now - 1)], now - 1)
        rows = writer.rows(reducer.flush())
        rows.alive = now
        writer.commit(rows)
