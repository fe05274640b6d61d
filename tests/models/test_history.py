"""A history on disk: what is written is read, and it goes on after a restart as if nothing had happened."""

import re
import sqlite3
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.models.history import schema, sums
from app.models.history.charts import Span
from app.models.history.errors import HistoryError
from app.models.history.rows import gap_row
from app.models.history.writer import Writer
from app.models.records import Gap, Queue, Task, Worker
from app.models.reducer import Batch
from tests.helpers.drawing import counted, counted_totals, drawn
from tests.helpers.events import T0, event, stream, worker_event
from tests.helpers.histories import reading, recording, sql
from tests.helpers.seen import SEEN, STREAMS
from tests.helpers.stage import Stage

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIME = st.floats(1e9, 4e9)
COUNT = st.integers(0, 2**53)


def maybe(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | strategy


TASKS = st.builds(
    Task,
    id=st.just(0), uuid=st.just(""), seen=TIME, state=TEXT, retries=COUNT, redelivered=COUNT,
    **{field: maybe(TIME) for field in ("eta", "expires", "sent", "received", "started", "finished", "wait")},
    **{field: maybe(TIME) for field in ("runtime", "doubted")},
    **{
        field: maybe(TEXT)
        for field in ("name", "args", "kwargs", "result", "exception", "traceback", "queue", "routing_key", "worker",
                      "producer", "root", "parent", "note", "progress")
    },
)  # fmt: skip


def batch(tasks: list[Task]) -> Batch:
    """Tasks with the workers and queues they name, as the reducer hands them over together."""
    workers = {task.worker: Worker(task.worker, T0) for task in tasks if task.worker is not None}
    queues = {task.queue: Queue(task.queue, T0) for task in tasks if task.queue is not None}
    return Batch(tasks, list(workers.values()), list(queues.values()), [], [], 0)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TASKS, min_size=1, max_size=5))
def test_a_task_is_read_as_it_was_written(tmp_path: Path, tasks: list[Task]) -> None:
    path = tmp_path / "h.cloche"
    with Writer(path) as writer:
        first = writer.known().next_task
        for number, task in enumerate(tasks, first):
            task.id, task.uuid = number, f"id-{number}"
        writer.commit(writer.rows(batch(tasks)))
        assert sorted(writer.load([task.uuid for task in tasks]), key=lambda task: task.id) == tasks
    with reading(path) as reader:
        assert [reader.task(task.uuid) for task in tasks] == tasks
        assert [task for task in reader.records(page=2) if task.id >= first] == tasks


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True)])
def test_what_is_no_longer_known_of_a_task_leaves_its_row(tmp_path: Path, *, before: bool, after: bool) -> None:
    plain = Task(1, "t1", T0, state="STARTED", name="add", worker="w1", received=T0)
    full = {
        field: "x" if known is str else T0
        for field, known in (
            ("queue", str), ("sent", float), ("eta", float), ("expires", float), ("exception", str), ("note", str),
            ("progress", str), ("routing_key", str), ("producer", str), ("root", str), ("parent", str),
            ("doubted", float), ("traceback", str),
        )
    }  # fmt: skip
    with Writer(tmp_path / "h") as writer:
        for is_full in (before, after):
            task = msgspec.structs.replace(plain, **(full if is_full else {}))
            writer.commit(writer.rows(batch([task])))
            assert writer.load(["t1"]) == [task]


def test_a_task_that_changes_stays_one_row_with_its_first_time(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        for each in STREAMS["success"]:
            history.play([each]).commit()
    with reading(tmp_path / "h") as reader:
        assert reader.task_total() == 1
        assert drawn(reader.task("t1")) == SEEN["success"][1].strip()
        assert reader.tasks()[0].seen == T0


@pytest.mark.parametrize("name", SEEN)
def test_a_restart_between_any_two_events_is_not_seen_afterwards(tmp_path: Path, name: str) -> None:
    events, whole = STREAMS[name], Stage().play(STREAMS[name])
    for each in events:
        with recording(tmp_path / "h") as history:
            history.play([each]).commit()
    with reading(tmp_path / "h") as reader, recording(tmp_path / "h") as history:
        assert drawn(reader.task("t1")) == whole.drawn()
        assert history.writer.known().next_task == 2
        totals = reader.totals(Span(0, T0 + 10_000))
    assert counted_totals(totals) == re.sub(r" (waits|runs) \d+", "", whole.counted())


def test_a_restart_in_the_middle_of_a_bucket_goes_on_counting_in_it(tmp_path: Path) -> None:
    for at in range(4):
        with recording(tmp_path / "h") as history:
            history.play([event("sent", at, uuid=str(at)), event("started", at, uuid=str(at))]).commit()
    with recording(tmp_path / "h") as history:
        cells = history.writer.known().cells
        assert counted([cells[None]]) == "events 8 tasks 4 started 4 waits 4"
        assert counted([cells["add"]]) == "tasks 4 started 4 waits 4"
    with reading(tmp_path / "h") as reader:
        queues = {kind: reader.gauge(f"queue.{kind}", Span(T0, T0 + 5), 5) for kind in ("in", "out")}
        assert {kind: found["celery"].values for kind, found in queues.items()} == {"in": [4.0], "out": [4.0]}


def test_a_restart_goes_on_measuring_the_mean_of_a_bucket(tmp_path: Path) -> None:
    for at, depth in enumerate((2, 4, 9)):
        with recording(tmp_path / "h") as history:
            history.poll(at, mail=depth).commit(at)
    with reading(tmp_path / "h") as reader:
        assert reader.gauge("queue.ready", Span(T0, T0 + 5), 5)["mail"].values == [5.0]


def test_a_restart_in_a_later_bucket_leaves_the_earlier_one_alone(tmp_path: Path) -> None:
    for at in (0, 7):
        with recording(tmp_path / "h") as history:
            history.play([event("received", at, uuid=str(at))]).poll(at, mail=at).commit(at)
    with reading(tmp_path / "h") as reader:
        received = [reader.totals(Span(T0 + at, T0 + at + 5)).received for at in (0, 5, 10)]
        assert received == [1, 1, 0]
        assert reader.gauge("queue.ready", Span(T0, T0 + 10), 5)["mail"].values == [0.0, 7.0]


def test_a_bucket_in_which_only_queues_were_polled_is_gone_on_with(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.play([event("received", 0)]).commit()
        history.poll(20, mail=1).commit()
    with recording(tmp_path / "h") as history:
        history.poll(21, mail=3).commit()
    with reading(tmp_path / "h") as reader:
        assert reader.gauge("queue.ready", Span(T0 + 20, T0 + 25), 5)["mail"].values == [2.0]
        assert reader.totals(Span(T0 + 20, T0 + 25)).events == 0


def test_words_keep_their_numbers_over_restarts(tmp_path: Path) -> None:
    for round_ in range(3):
        with recording(tmp_path / "h") as history:
            for number in range(3):
                word = f"{(round_ + number) % 4}"
                seen = {"name": f"n{word}", "queue": f"q{word}", "uuid": f"{round_}-{number}"}
                history.play([event("sent", 0, **seen), event("received", 1, f"w{word}", uuid=seen["uuid"])]).commit()
    with reading(tmp_path / "h") as reader:
        words = {task.uuid: (task.name, task.queue, task.worker) for task in reader.records()}
    assert words == {
        f"{round_}-{number}": (f"n{word}", f"q{word}", f"w{word}")
        for round_ in range(3)
        for number in range(3)
        for word in [(round_ + number) % 4]
    }


def test_workers_and_queues_are_read_as_they_were_last(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.play([worker_event("online", 0, sw_ver="5.7.0"), worker_event("heartbeat", 2, active=3)]).commit()
        history.poll(3, mail=7).commit()
        history.play([worker_event("offline", 4)]).commit()
        workers, queues = list(history.reducer.workers.values()), list(history.reducer.queues.values())
    with reading(tmp_path / "h") as reader:
        assert reader.workers() == workers
        assert reader.queues() == queues
        assert [(worker.state, worker.software) for worker in workers] == [("offline", "celery 5.7.0")]
    with recording(tmp_path / "h") as history:
        assert history.writer.known().workers == workers
        assert history.writer.known().queues == queues


def test_accounting_and_gaps_are_kept(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        counts = [("received", "", 9), ("stored", "", 4), ("rejected", "not JSON", 3), ("shed", "heartbeat", 2)]
        lasting = Gap(T0 + 5, None, "the broker went away")
        history.commit(accounting=counts, gaps=[gap_row(1, Gap(T0, T0 + 1, "a")), gap_row(2, lasting)])
        assert history.writer.gaps() == {1: Gap(T0, T0 + 1, "a"), 2: lasting}
        history.commit(gaps=[gap_row(2, msgspec.structs.replace(lasting, end=T0 + 9))])
    with reading(tmp_path / "h") as reader:
        found = reader.accounting()
        assert (found.received, found.stored, found.shed, found.rejected) == (9, 4, {"heartbeat": 2}, {"not JSON": 3})
        assert found.balanced
        assert [(gap.start - T0, gap.end and gap.end - T0, gap.why) for gap in reader.gaps()] == [
            (0, 1, "a"),
            (5, 9, "the broker went away"),
        ]
        assert reader.gaps(Span(T0 + 1, T0 + 5)) == []
        assert len(reader.gaps(Span(T0 + 8, T0 + 20))) == 1


def test_the_last_moment_of_listening_is_told_and_not_moved_while_nobody_listens(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.commit(7)
        history.commit(alive=0.0)
        assert history.writer.meta()["alive"] == repr(T0 + 7)
    with reading(tmp_path / "h") as reader:
        assert reader.alive() == T0 + 7


def test_pages_of_tasks_are_newest_first_and_meet_without_a_gap(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.play(event("received", at, uuid=f"{at:02}") for at in range(25)).commit()
    with reading(tmp_path / "h") as reader:
        pages, before = [], None
        while page := reader.tasks(before=before, limit=10):
            pages.append([row.uuid for row in page])
            before = page[-1].id
        assert [len(page) for page in pages] == [10, 10, 5]
        assert [uuid for page in pages for uuid in page] == [f"{at:02}" for at in reversed(range(25))]
        assert [row.uuid for row in reader.tasks(after=23)] == ["24", "23"]
        assert [row.uuid for row in reader.tasks_between(3, 5)] == ["04", "03", "02"]


@pytest.mark.parametrize(("since", "until"), [(None, None), (3, None), (2.5, 6), (0, 0), (99, None), (None, 7), (4, 5)])
def test_times_select_tasks_by_when_they_were_first_seen(
    tmp_path: Path, since: float | None, until: float | None
) -> None:
    with recording(tmp_path / "h") as history:
        history.play(event("received", at, uuid=str(at)) for at in range(9)).commit()
        # Ids need not be without a gap, nor begin with 1: old tasks are deleted.
        history.writer._connection.execute("DELETE FROM task WHERE id IN (1, 5)")
    with reading(tmp_path / "h") as reader:
        expected = [
            row.uuid
            for row in reader.tasks()
            if (since is None or row.seen >= T0 + since) and (until is None or row.seen < T0 + until)
        ]
        start, end = (None if time is None else T0 + time for time in (since, until))
        assert [row.uuid for row in reader.tasks(since=start, until=end)] == expected
        assert reader.task_count(since=start, until=end) == len(expected)
        assert sum(reader.states(start).values()) == len(reader.tasks(since=start))


def test_states_are_counted_of_all_or_of_the_newer_ones(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.play(stream("0 received\n 1 started", "a")).play(stream("5 received\n 6 started", "b"))
        history.play(stream("7 received", "c")).commit()
    with reading(tmp_path / "h") as reader:
        assert reader.states() == {"STARTED": 2, "RECEIVED": 1}
        assert reader.states(T0 + 5) == {"STARTED": 1, "RECEIVED": 1}
        assert reader.states(T0 + 50) == {}


def test_a_reader_sees_each_commit_at_once_and_never_half_of_one(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history, reading(tmp_path / "h") as reader:
        for number in range(5):
            history.play(event("received", number, uuid=f"{number}-{each}") for each in range(10))
            assert reader.task_total() == number * 10
            history.commit()
            assert reader.task_total() == (number + 1) * 10


def test_a_commit_that_fails_half_way_leaves_nothing_and_the_next_one_has_it_all(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.play(stream("0 received")).commit()
        bad = history.play([event("received", 1, uuid="t2")]).rows(gaps=[(1, 2)])
        with pytest.raises(Exception, match=r"binding|supplied"):
            history.writer.commit(bad)
        assert sql(tmp_path / "h", "SELECT COUNT(*) FROM task") == [(1,)]
        bad.gaps = []
        history.writer.commit(bad)
        assert sql(tmp_path / "h", "SELECT COUNT(*) FROM task") == [(2,)]


def test_a_full_disk_is_said_and_nothing_is_lost_once_there_is_room(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        for minute in range(30):
            at = minute * 60
            history.play(stream(f"{at} received\n {at + 1} started\n {at + 2} succeeded runtime=1", str(minute)))
            history.poll(at, mail=minute)
            rows = history.rows(alive=T0 + at)
            history.reducer.committed(Batch([], [], [], [], [], 0))
            limit_pages(history.writer, sql(tmp_path / "h", "PRAGMA page_count")[0][0])
            rows.names.append((1_000 + minute, "x" * 500_000))
            with pytest.raises(HistoryError, match=r"can't be written: .*full.* Free space"):
                history.writer.commit(rows)
            limit_pages(history.writer, 1 << 30)
            rows.names.pop()
            history.writer.commit(rows)
    with reading(tmp_path / "h") as reader:
        assert reader.task_total() == 30
        assert reader.totals(Span(T0, T0 + 1_800)).succeeded == 30
        per_level = sql(tmp_path / "h", "SELECT level, SUM(succeeded) FROM rollup WHERE name_id = 0 GROUP BY level")
        assert per_level == [(5, 30), (60, 29), (600, 20)]


def test_a_disk_that_is_full_when_minutes_are_summed_up_does_not_lose_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "BUDGET", 60.0)  # all of it in one commit, however busy the machine
    # The sums are derived last in a commit: what fails there has to be derived again, though its rows are the same.
    with recording(tmp_path / "h") as history:
        history.play(stream("0 received")).commit()
        rows = history.play(stream("601 received", "t2")).rows()
        connection = history.writer._connection
        connection.execute(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON rollup WHEN NEW.level = 600 "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
        with pytest.raises(sqlite3.IntegrityError, match="disk is full"):
            history.writer.commit(rows)
        connection.execute("DROP TRIGGER full")
        history.writer.commit(rows)
    per_level = sql(tmp_path / "h", "SELECT level, SUM(received) FROM rollup WHERE name_id = 0 GROUP BY level")
    assert per_level == [(5, 2), (60, 1), (600, 1)]


def limit_pages(writer: Writer, pages: int) -> None:
    """Let the file grow to so many pages only, as a full disk does."""
    writer._connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()


def test_every_table_of_the_schema_is_there(tmp_path: Path) -> None:
    with recording(tmp_path / "h"):
        pass
    tables = {name for (name,) in sql(tmp_path / "h", "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == set(schema.metadata.tables)


def test_a_quarantine_that_was_emptied_is_no_queue_any_more_and_keeps_its_role(tmp_path: Path) -> None:
    name = "mail.quarantine.20261122T020728123Z"
    path = tmp_path / "history.cloche"
    with recording(path) as made, reading(path) as reader:
        made.reducer.fold_queues([Queue(name, T0, ready=3)], T0)
        # What it is may be told later than that it is there.
        made.reducer.fold_queues([Queue(name, T0, ready=3, role="quarantine", memory=900)], T0)
        made.commit(1.0)
        assert [(queue.name, queue.role, queue.rests) for queue in reader.queues()] == [(name, "quarantine", True)]
        made.reducer.forget_depths()
        made.commit(2.0)
        assert [(queue.name, queue.role, queue.ready) for queue in reader.queues()] == [(name, "quarantine", None)]
        made.reducer.fold_queues([Queue(name, T0 + 3, ready=0, role="quarantine")], T0 + 3)
        made.commit(3.0)
        assert name not in made.reducer.queues
        assert reader.queues() == []
    with recording(path) as again:
        assert name not in again.reducer.queues
