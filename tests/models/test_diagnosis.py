"""What is said to need attention, and what never is."""

import time
from pathlib import Path

import pytest

from app.models.diagnosis import Action, Finding, class_counts, diagnose
from app.models.history.rows import gap_row
from app.models.lifecycle import doubt
from app.models.records import Accounting, Gap, Queue, Worker
from app.models.signs import FEWEST, MOST, RECENT, Signs, look
from tests.helpers.events import T0, event, worker_event
from tests.helpers.histories import reading, recording

NOW = 1_795_230_000.0
DAY = 86_400.0


def worker(name: str = "w1@h", **known: object) -> Worker:
    made = Worker(name, NOW - 9_000, heartbeat=NOW - 1, queues=["mail"])
    for field, value in known.items():
        setattr(made, field, value)
    return made


def told(**known: object) -> list[Finding]:
    return diagnose(Signs(**{"now": NOW, "listening": NOW - 900, "workers": [worker()], **known}))  # type: ignore[arg-type]


def one(**known: object) -> Finding:
    (found,) = told(**known)
    return found


def test_where_all_is_well_nothing_is_said() -> None:
    assert told(queues=[Queue("mail", NOW, ready=3, consumers=1)], accounting=Accounting(9, 9)) == []


# --- queues ----------------------------------------------------------------------------------------------------------


def test_a_queue_that_waits_and_nobody_consumes_is_an_error() -> None:
    queue = Queue("pagespeed", NOW, ready=412, consumers=0, oldest=723.0, oldest_exact=True, sampled=NOW - 3)
    found = one(queues=[queue])
    assert (found.key, found.severity, found.since) == ("queue:pagespeed", "error", NOW - 726)
    assert found.text == "Nobody consumes queue pagespeed."
    assert found.evidence == "412 waiting, oldest 12 m 03 s"
    assert found.action == Action("queue", "pagespeed")
    assert found.pressing


@pytest.mark.parametrize(
    "queue",
    [
        Queue("empty", NOW, ready=0, consumers=0),
        Queue("taken", NOW, ready=9, consumers=1),
        Queue("unknown", NOW, ready=9, consumers=None),
        Queue("unmeasured", NOW, ready=None, consumers=0),
    ],
)
def test_a_queue_is_not_complained_of_without_knowing_it(queue: Queue) -> None:
    assert told(queues=[queue]) == []


def test_where_a_worker_has_not_told_what_it_consumes_nobody_is_not_said() -> None:
    found = one(queues=[Queue("mail", NOW, ready=9, consumers=0)], workers=[worker(), worker("w2@h", queues=None)])
    assert found.severity == "warning"
    assert found.text == "No worker that answered consumes queue mail."


def test_a_bound_of_an_age_is_told_as_one() -> None:
    found = one(queues=[Queue("mail", NOW, ready=9, consumers=0, oldest=60.0)])
    assert found.evidence == "9 waiting, oldest ≥ 1 m 00 s"


def test_without_any_worker_alive_that_is_said_once_and_not_for_every_queue() -> None:
    queues = [Queue(name, NOW, ready=4, consumers=0) for name in ("a", "b")]
    gone = worker(state="offline", since=NOW - 60, heartbeat=NOW - 60)
    found = one(queues=queues, workers=[gone])
    assert (found.key, found.severity) == ("workers:none", "error")
    assert found.evidence == "8 messages in 2 queues wait; the last one was heard 1 m ago"
    assert "none was ever heard of" in one(queues=queues, workers=[]).evidence


@pytest.mark.parametrize("listening", [None, NOW - 9])
def test_before_a_heartbeat_can_have_come_nobody_is_called_absent(listening: float | None) -> None:
    assert told(queues=[Queue("a", NOW, ready=4, consumers=0)], workers=[], listening=listening) == []


@pytest.mark.parametrize("role", ["delayed", "dead letter", "quarantine"])
def test_a_queue_that_nobody_has_to_consume_is_not_complained_of(role: str) -> None:
    assert told(queues=[Queue("q", NOW, ready=9, consumers=0, role=role)]) == []
    assert told(queues=[Queue("q", NOW, ready=9, consumers=0, role=role)], workers=[]) == []


@pytest.mark.parametrize("role", ["delayed", "dead letter"])
def test_who_was_consumed_once_is_missed_whatever_else_the_queue_is_for(role: str) -> None:
    found = one(queues=[Queue("q", NOW, ready=9, consumers=0, role=role, consumed=NOW - 60)])
    assert found.text == "Nobody consumes queue q."


def test_dead_letters_that_become_more_are_a_warning() -> None:
    queue = Queue("dead", NOW, ready=412, consumers=0, role="dead letter", dead_letters_of=["mail", "sms"])
    assert told(queues=[queue]) == []
    found = one(queues=[queue], grown={"dead": 12})
    assert (found.key, found.severity, found.action) == ("dead:dead", "warning", Action("queue", "dead"))
    assert found.text == "Dead letters come into queue dead."
    assert found.evidence == "12 more than within the last hour, 412 in all, from mail, sms"
    assert "from other queues" in one(queues=[Queue("dead", NOW, ready=9)], grown={"dead": 1}).evidence


# --- workers ---------------------------------------------------------------------------------------------------------


def test_a_lost_worker_tells_of_the_tasks_that_are_still_lost_with_it() -> None:
    gone = worker("w3@crawler-2", state="lost", since=NOW - 184, heartbeat=NOW - 184, held=5)
    found = one(workers=[worker(), gone], lost={"w3@crawler-2": 2})
    assert (found.key, found.severity, found.since) == ("lost:w3@crawler-2", "error", NOW - 184)
    assert found.text == "Worker w3@crawler-2 is lost with 2 tasks."
    assert found.evidence == "Last heard 3 m 04 s ago; of 3 other tasks it had, more was heard"
    assert found.action == Action("tasks", 'is:lost worker:"w3@crawler-2"')
    assert "visibility timeout" in found.remedy


def test_a_lost_worker_whose_tasks_were_taken_by_others_is_a_warning_for_a_day() -> None:
    gone = worker("w3@h", state="lost", since=NOW - 184, heartbeat=NOW - 184, held=2)
    found = one(workers=[worker(), gone])
    assert (found.severity, found.text) == ("warning", "Worker w3@h is lost.")
    assert found.action == Action("worker", "w3@h")
    assert told(workers=[worker(), worker("w3@h", state="lost", since=NOW - DAY, held=2)]) == []
    assert told(workers=[worker(), worker("w3@h", state="lost", since=NOW - DAY)], lost={"w3@h": 1}) != []


def test_many_lost_workers_are_one_finding() -> None:
    gone = [worker(f"w{n}@h", state="lost", since=NOW - 100 + n) for n in range(4)]
    found = one(workers=[worker(), *gone], lost={each.hostname: 2 for each in gone})
    assert found.text == "4 workers are lost with 8 tasks."
    assert found.evidence == "w0@h, w1@h, w2@h and 1 more"
    assert found.since == NOW - 100


def test_tasks_lost_with_workers_that_are_not_lost_are_told_too() -> None:
    lost = {"w1@h": 2, "forgotten@h": 1}
    found = one(lost=lost, doubted={"LOST": (3, NOW - 60)})
    assert (found.key, found.severity, found.since) == ("lost:left", "warning", NOW - 60)
    assert found.text == "3 tasks were lost when workers left or were restarted."
    assert found.evidence == "w1@h, forgotten@h"
    assert found.action == Action("tasks", "is:lost")


def test_where_not_all_lost_tasks_were_looked_at_numbers_are_bounds() -> None:
    gone = worker("w3@h", state="lost", since=NOW - 60)
    found = one(workers=[worker(), gone], lost={"w3@h": 1_000}, doubted={"LOST": (20_000, NOW - 60)})
    assert found.text == "Worker w3@h is lost with at least 1,000 tasks."


@pytest.mark.parametrize("state", ["online", "silent", "busy"])
def test_workers_that_run_without_events_are_offered_to_be_told(state: str) -> None:
    found = one(workers=[worker(events=False, state=state), worker("w2@h", events=True)])
    assert (found.key, found.severity, found.action) == ("events", "warning", Action("events"))
    assert found.text == "1 worker runs without -E."
    assert "w1@h" in found.evidence
    assert "at the upper right of the window or by --mode operate, and turn events on." in found.remedy


@pytest.mark.parametrize(
    "quiet", [worker(events=None), worker(events=True), worker(events=False, state="offline", since=NOW)]
)
def test_workers_are_not_said_to_be_mute_where_that_is_not_known_or_no_matter(quiet: Worker) -> None:
    assert told(workers=[worker("w2@h"), quiet]) == []


def test_what_was_missed_upstream_is_a_number_by_worker() -> None:
    found = one(workers=[worker(missed=4, events=True), worker("w2@h", missed=1_200)])
    assert found.text == "1,204 tasks began that we were not told of."
    assert found.evidence == "1,200 by w2@h, 4 by w1@h"


def test_what_a_worker_without_events_does_not_tell_is_told_once() -> None:
    assert [found.key for found in told(workers=[worker(missed=9, events=False)])] == ["events"]


@pytest.mark.parametrize(
    ("offsets", "text"),
    [
        ((0.0, 3.2), "The clock of worker w1@h is 3.20 s ahead."),
        ((0.0, -90.0), "The clock of worker w1@h is 1 m 30 s behind."),
        ((0.0, 2.0, 30.0), "The clocks of 2 workers differ from ours by more than a second."),
        ((3.2, 3.3, 3.0), "The clock of this computer is 3.30 s behind, if all workers are right."),
        ((3.2,), "The clock of worker w0@h is 3.20 s ahead."),
    ],
)
def test_clocks_that_differ_are_told_by_whose_it_is(offsets: tuple[float, ...], text: str) -> None:
    found = one(workers=[worker(f"w{n}@h", clock_offset=offset) for n, offset in enumerate(offsets)])
    assert (found.key, found.severity, found.text) == ("clocks", "warning", text)


@pytest.mark.parametrize("offset", [None, 0.0, 1.0, -1.0])
def test_clocks_in_step_are_not_told(offset: float | None) -> None:
    assert told(workers=[worker(clock_offset=offset)]) == []


# --- loss ------------------------------------------------------------------------------------------------------------


def test_what_was_shed_is_told_by_class_in_plain_words() -> None:
    shed = {"task-started": 4, "worker-heartbeat": 1_200, "task-succeeded": 0, "no room for the history": 7}
    found = one(accounting=Accounting(2_000, 789, shed))
    assert found.text == "1,211 events had to be dropped: more came than could be taken."
    assert found.evidence == "1,200 heartbeats, 7 (no room for the history), 4 starts"
    assert class_counts(shed, 1) == "1,200 heartbeats and 2 more"
    assert class_counts({"worker-heartbeat": 1}) == "1 heartbeat"


def test_what_was_rejected_is_told_by_reason() -> None:
    found = one(accounting=Accounting(20, 3, {}, {"not JSON": 12, "too large": 5}))
    assert found.text == "17 messages could not be understood."
    assert found.evidence == "12 not JSON, 5 too large"


def test_a_gap_that_lasts_is_an_error_and_those_of_the_day_are_a_hint() -> None:
    lasting = one(gaps=[Gap(NOW - 65, None, "Connection refused.")], listening=None)
    assert (lasting.severity, lasting.since) == ("error", NOW - 65)
    assert lasting.evidence == "1 m 05 s so far: Connection refused"
    past = [Gap(NOW - 3 * DAY, NOW - 2 * DAY, "old"), Gap(NOW - 500, NOW - 440, "a"), Gap(NOW - 90, NOW - 30, "b.")]
    found = one(gaps=past)
    assert (found.severity, found.pressing) == ("info", False)
    assert found.text == "Nobody listened 2 times in the last 24 hours, for 2 m 00 s in all."
    assert found.evidence.endswith(": b")


def test_of_a_gap_only_what_lies_within_the_day_is_summed_up() -> None:
    assert "for 1 h 00 m in all" in one(gaps=[Gap(NOW - 9 * DAY, NOW - DAY + 3_600, "a")]).text


def test_tasks_of_unknown_end_are_counted_up_to_a_number() -> None:
    assert one(doubted={"UNKNOWN": (3, NOW - 60)}).text == "Of 3 tasks it is not known what became."
    many = one(doubted={"UNKNOWN": (MOST + 1, NOW - 60)})
    assert many.text == "Of more than 100,000 tasks it is not known what became."
    assert (many.since, many.action) == (NOW - 60, Action("tasks", "is:unknown"))


def test_producers_that_do_not_announce_are_a_hint() -> None:
    found = one(unannounced={"leads.enrich": 340, "db.vacuum": 9})
    assert (found.key, found.severity) == ("unannounced", "info")
    assert found.text == "Who sends 2 kinds of tasks does not tell of it."
    assert "340 leads.enrich, 9 db.vacuum" in found.evidence
    assert "task_send_sent_event" in found.remedy


def test_trouble_with_the_history_stands_first() -> None:
    found = told(trouble="The disk is full. Free space on it.", accounting=Accounting(9, 3, {}, {"not JSON": 6}))
    assert [(each.key, each.severity) for each in found] == [("history", "error"), ("rejected", "warning")]
    assert (found[0].text, found[0].remedy) == ("The disk is full.", "Free space on it.")


def test_the_worst_comes_first() -> None:
    found = told(
        unannounced={"a": 9},
        accounting=Accounting(9, 3, {}, {"not JSON": 6}),
        queues=[Queue("mail", NOW, ready=9, consumers=0)],
        gaps=[Gap(NOW - 65, None, "Connection refused.")],
    )
    assert [each.key for each in found] == ["queue:mail", "gap", "rejected", "unannounced"]
    assert [each.severity for each in found] == ["error", "error", "warning", "info"]
    assert all(each.text.endswith(".") and each.remedy.endswith(".") for each in found)


# --- what is asked of a history --------------------------------------------------------------------------------------


def test_a_history_tells_its_signs(tmp_path: Path) -> None:
    path = tmp_path / "h"
    with recording(path) as history:
        history.set_created(0)
        history.play([worker_event("heartbeat", 1), worker_event("heartbeat", 1, "w2")])
        for number in range(FEWEST):
            history.play([event("received", 2, uuid=f"quiet{number}", name="quiet")])
            history.play([event("sent", 2, uuid=f"told{number}", name="told", queue="mail")])
            history.play([event("received", 3, uuid=f"told{number}", name="told")])
        history.play([event("received", 2, uuid=f"few{number}", name="few") for number in range(FEWEST - 1)])
        for uuid, state, since in (("quiet0", "LOST", 8.0), ("quiet1", "UNKNOWN", 7.0), ("quiet2", "UNKNOWN", 6.0)):
            task = history.reducer.task(uuid)
            assert task is not None
            doubt(task, state, T0 + since, "Why.")
        history.commit(9, gaps=[gap_row(1, Gap(T0 + 3, T0 + 4, "It hung."))])
    with reading(path) as reader:
        signs = look(reader)
        assert (signs.now, signs.listening) == (T0 + 9, T0 + 4)
        assert [each.hostname for each in signs.workers] == ["w1", "w2"]
        assert signs.doubted == {"LOST": (1, T0 + 8), "UNKNOWN": (2, T0 + 6)}
        assert signs.lost == {"w1": 1}
        assert signs.unannounced == {"quiet": FEWEST}
        assert look(reader, T0 + 50, "Oh.").trouble == "Oh."
        assert look(reader, T0 + 50).now == T0 + 50


def test_a_history_tells_by_how_much_queues_for_dead_letters_grew_within_the_hour(tmp_path: Path) -> None:
    def polled(at: float, **ready: int) -> list[Queue]:
        made = [Queue(name, T0 + at, ready=depth, consumers=0) for name, depth in ready.items()]
        for queue in made:
            queue.type, queue.role = "classic", None if queue.name == "work" else "dead letter"
        return made

    with recording(tmp_path / "h") as history:
        for at, depths in (
            (0, {"dead": 0, "still": 7, "purged": 90, "work": 1}),
            (60, {"dead": 5, "still": 7, "purged": 90, "work": 1}),
            (3_000, {"dead": 5, "still": 7, "purged": 2, "work": 1}),
            (5_000, {"dead": 8, "still": 7, "purged": 2, "work": 9}),
            (5_060, {"dead": 8, "still": 7, "purged": 4, "work": 9}),
        ):
            history.reducer.fold_queues(polled(at, **depths), T0 + at)
        history.commit(5_065)
    with reading(tmp_path / "h") as reader:
        assert look(reader).grown == {"dead": 3, "purged": 2}
        assert [each.key for each in diagnose(look(reader)) if each.key.startswith("dead:")] == [
            "dead:dead", "dead:purged",
        ]  # fmt: skip


def test_who_announced_one_of_many_does_announce(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        for number in range(FEWEST * 2):
            history.play([event("received", 2, uuid=f"t{number}")])
        history.play([event("sent", 2, uuid="t3", queue="mail")])
        history.commit(9)
    with reading(tmp_path / "h") as reader:
        assert look(reader).unannounced == {}


def test_only_the_newest_tasks_are_looked_at(tmp_path: Path) -> None:
    with recording(tmp_path / "h", active_limit=10_000) as history:
        for number in range(FEWEST):
            history.play([event("received", 2, uuid=f"old{number}", name="old")])
        for number in range(RECENT):
            history.play([event("sent", 2, uuid=f"t{number}", queue="mail")])
        history.commit(9)
    with reading(tmp_path / "h") as reader:
        assert look(reader).unannounced == {}


def test_while_nobody_listens_nobody_is_called_absent(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.poll(1, mail=7).commit(2, gaps=[gap_row(1, Gap(T0, None, "Connection refused."))])
    with reading(tmp_path / "h") as reader:
        found = diagnose(look(reader, T0 + 900))
    assert [each.key for each in found] == ["gap"]


def test_an_empty_history_needs_nothing(tmp_path: Path) -> None:
    with recording(tmp_path / "h"):
        pass
    with reading(tmp_path / "h") as reader:
        assert diagnose(look(reader, time.time())) == []
