"""Asking workers in a thread: whatever they answer, whatever fails, the next question is asked."""

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from app.collectors import questions
from app.collectors.amqp import amqp_address
from app.collectors.amqp_control import AmqpControl
from app.collectors.control import Control, Forbidden, Hearing
from app.collectors.errors import BrokerError
from app.collectors.inquiry import Answer, CalledWith, Inquiry, Inspection, Reached, WhoHas
from app.collectors.pollers import Trouble
from app.collectors.questions import Questions
from app.collectors.redis_control import RedisControl
from app.collectors.transport import redis_address
from app.models.doubts import Held
from app.models.profiles import Mode
from tests.helpers.celery_apps import make_app, marks, worker
from tests.helpers.events import T0, stream, worker_event
from tests.helpers.servers import RedisServer
from tests.helpers.stage import Stage
from tests.helpers.waiting import eventually


class Told(Control):
    """A control that answers what a test says, by command; what it was asked is kept."""

    def __init__(self, answers: Mapping[str, object] | None = None, mode: Mode = "operate") -> None:
        super().__init__(mode, on_command=lambda _number: None)
        self.answers = answers or {}
        self.asked: list[tuple[str, Sequence[str] | None, Mapping[str, Any]]] = []
        self.closed = False
        self.gate = threading.Event()
        self.gate.set()

    def close(self) -> None:
        self.closed = True

    def present(self, hostnames: Sequence[str], timeout: float = 1.0) -> dict[str, bool]:
        return dict.fromkeys(hostnames, self.ask("ping", timeout=timeout) != {})

    def _answers(
        self,
        command: str,
        arguments: Mapping[str, Any],
        destination: Sequence[str] | None,
        hearing: Hearing,
        timeout: float,
    ) -> Iterator[tuple[str, Any]]:
        del hearing, timeout
        self.gate.wait()
        self.asked.append((command, destination, arguments))
        answer = self.answers.get(command, {})
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, dict)
        yield from answer.items()


@contextmanager
def inquiring(control: Control) -> Iterator[tuple[Inquiry, Callable[[], list[Answer | Trouble]]]]:
    """An inquiry, and what it learnt up to the next trouble, or the end of it."""
    inbox: queue.SimpleQueue[Answer | Trouble] = queue.SimpleQueue()
    inquiry = Inquiry(control, inbox.put)
    inquiry.start()

    def learnt() -> list[Answer | Trouble]:
        found: list[Answer | Trouble] = []
        while not (found and isinstance(found[-1], Trouble)):
            found.append(inbox.get(timeout=20))
        return found

    try:
        yield inquiry, learnt
    finally:
        inquiry.stop()
        inquiry.join()


def task(uuid: str, started: float | None = None) -> dict[str, Any]:
    return {"id": uuid, "name": "add", "args": [1], "time_start": started, "acknowledged": True}


def waiting(uuid: str) -> dict[str, Any]:
    return {"eta": "2026-11-21T10:56:08+00:00", "priority": 6, "request": task(uuid)}


def has(**lists: object) -> dict[str, dict[str, Held]]:
    """Which tasks a worker ``w1`` is taken to have after these answers; of others that are named nothing is."""
    answers: dict[str, object] = {"scheduled": [], "reserved": [], "active": []} | lists
    with inquiring(Told({command: {"w1": answer} for command, answer in answers.items()})) as (inquiry, learnt):
        inquiry.who_has(["w1"], 7.0)
        (said, _) = learnt()
    assert isinstance(said, WhoHas)
    assert said.asked == 7.0
    return said.held


# --- which tasks workers have ----------------------------------------------------------------------------------------


def test_a_worker_has_what_runs_what_it_fetched_and_what_waits_for_its_time() -> None:
    found = has(scheduled=[waiting("a")], reserved=[task("b")], active=[task("c", 5.5)])
    assert found == {"w1": {"a": Held(), "b": Held(), "c": Held(5.5)}}


def test_what_was_begun_while_it_was_asked_runs() -> None:
    assert has(scheduled=[waiting("a")], reserved=[task("a", 3.0)], active=[task("a", 5.5)]) == {"w1": {"a": Held(5.5)}}


def test_a_worker_that_has_nothing_has_nothing() -> None:
    assert has() == {"w1": {}}


@pytest.mark.parametrize("which", ["scheduled", "reserved", "active"])
@pytest.mark.parametrize(
    "answer",
    [None, 5, "x", {}, {"error": "KeyError('x')"}, [5], [{}], [{"id": 5}], [{"id": None}], [[]],
     [{"id": "a", "time_start": "x"}], [{"request": {"name": "add"}}]],
)  # fmt: skip
def test_a_worker_that_answers_otherwise_is_not_taken_to_have_nothing(which: str, answer: object) -> None:
    assert has(**{which: answer}) == {}


def test_ids_are_made_safe_and_cut() -> None:
    found = has(active=[task("a\u202e" + "x" * 100_000, 5.5)])
    ((uuid, held),) = found["w1"].items()
    assert (uuid[:8], held, len(uuid) < 2_000) == ("a\\u202ex", Held(5.5), True)


def test_a_worker_is_asked_in_the_order_in_which_tasks_move_and_only_if_it_answered() -> None:
    control = Told({"scheduled": {"w1": [], "w2": []}, "reserved": {"w1": []}, "active": {"w1": []}})
    with inquiring(control) as (inquiry, learnt):
        inquiry.who_has(["w1", "w2", "w3"], 7.0)
        assert learnt()[0] == WhoHas(7.0, {"w1": {}})
    assert control.asked == [
        ("scheduled", ["w1", "w2", "w3"], {}), ("reserved", ["w1", "w2"], {}), ("active", ["w1"], {"safe": True}),
    ]  # fmt: skip


def test_where_nobody_answers_nobody_is_asked_on() -> None:
    control = Told()
    with inquiring(control) as (inquiry, learnt):
        inquiry.who_has(["w1"], 7.0)
        assert learnt()[0] == WhoHas(7.0, {})
    assert [command for command, _, _ in control.asked] == ["scheduled"]


@pytest.mark.parametrize("liar", ["scheduled", "reserved", "active"])
def test_who_answers_for_others_ends_nothing(liar: str) -> None:
    answers: dict[str, dict[str, list[str]]] = {each: {"w1": []} for each in ("scheduled", "reserved", "active")}
    answers[liar]["other"] = []
    with inquiring(Told(answers)) as (inquiry, learnt):
        inquiry.who_has(["w1"], 7.0)
        assert learnt()[0] == WhoHas(7.0, {"w1": {}})


# --- what workers are ------------------------------------------------------------------------------------------------


def test_what_was_not_answered_is_not_learnt() -> None:
    stats = {"pool": {"implementation": "celery.concurrency.solo:TaskPool"}, "pid": 7}
    answers = {"w1": stats, "w2": {"error": "X()"}, "w3": [], "stranger": stats}
    queues = {"w2": [{"name": "mail"}], "w1": {"error": "X()"}}
    with inquiring(Told({"stats": answers, "active_queues": queues})) as (inquiry, learnt):
        inquiry.inspect(["w1", "w2", "w3", "w4"])
        *found, _ = learnt()
    told = {each.hostname: {**each.learnt} for each in found if isinstance(each, Inspection)}
    assert told["w1"].pop("stats")
    assert told == {
        "w1": {"pool": "solo", "slots": 1, "pid": 7, "uptime": None, "prefetch": None},
        "w2": {"queues": ["mail"]}, "w3": {}, "w4": {},
    }  # fmt: skip


def test_the_same_question_is_not_asked_while_it_waits_to_be_answered() -> None:
    control = Told()
    control.gate.clear()
    with inquiring(control) as (inquiry, learnt):
        for _ in range(5):
            inquiry.inspect(["w1"])
            inquiry.who_has(["w1"], 7.0)
        waits = inquiry.inspecting
        control.gate.set()
        learnt()
        learnt()
        assert (waits, inquiry.inspecting) == (True, False)
        inquiry.who_has(["w1"], 8.0)
        assert learnt()[0] == WhoHas(8.0, {})
    assert [command for command, _, _ in control.asked] == ["stats", "active_queues", "scheduled", "scheduled"]


# --- trouble ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["stats", "active_queues", "scheduled", "reserved", "active", "ping"])
def test_a_broker_that_fails_once_is_asked_the_next_question(command: str) -> None:
    error = BrokerError("network", "gone")
    good: dict[str, object] = {
        "stats": {"w1": {}},
        "scheduled": {"w1": []},
        "reserved": {"w1": []},
        "active": {"w1": []},
    }
    control = Told(good | {command: error})
    with inquiring(control) as (inquiry, learnt):
        asked: dict[str, Callable[[], None]] = {
            "stats": lambda: inquiry.inspect(["w1"]),
            "active_queues": lambda: inquiry.inspect(["w1"]),
            "ping": lambda: inquiry.reach(["w1"]),
        }
        ask = asked.get(command, lambda: inquiry.who_has(["w1"], 7.0))
        ask()
        assert learnt() == [Trouble("workers", error)]
        control.answers = good | {command: {"w1": []}}
        ask()
        *found, fine = learnt()
        assert found
        assert fine == Trouble("workers", None)
    assert control.closed


def test_who_is_mute_is_looked_for() -> None:
    with inquiring(Told({"ping": {"w2": {"ok": "pong"}}})) as (inquiry, learnt):
        inquiry.reach(["w1"])
        assert learnt()[0] == Reached({"w1": True})


# --- when it is asked ------------------------------------------------------------------------------------------------


class Asking:
    """Questions about a stage, with an inquiry that is not started: what is asked is seen in its queue."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: object) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.stage = Stage()
        self.stage.reducer.listen(None, T0)
        self.control = Told(answers)
        self.inquiry = Inquiry(self.control, lambda item: self.questions.take(item, T0 + self.now))  # type: ignore[arg-type]
        self.questions = Questions(self.stage.reducer, self.inquiry, None)

    def asked(self, seconds: int, host: str = "w1") -> list[int]:
        """In which of so many seconds workers were asked which tasks they have; one worker's heart beats on."""
        found = []
        for second in range(seconds):
            self.now += 1
            self.stage.play([worker_event("heartbeat", self.now, host)])
            self.stage.reducer.tick(T0 + self.now)
            self.questions.tick(T0 + self.now)
            before = len(self.control.asked)
            while not self.inquiry._asked.empty():
                kind, question = self.inquiry._asked.get() or ("", lambda: None)
                question()
                self.inquiry._waiting.discard(kind)
            if any(command == "scheduled" for command, _, _ in self.control.asked[before:]):
                found.append(second)
        return found


def test_workers_are_asked_less_and_less_about_what_they_do_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking(monkeypatch)
    asking.stage.play([worker_event("heartbeat", 0, "w2"), *(stream("1 received @w2\n1 started @w2"))])
    assert asking.asked(200) == [0, 10, 30, 70, 130, 190], "the task of the worker that was lost"
    asking.stage.play(stream("1201 received\n1201 started", "t2"))
    asking.stage.play([worker_event("online", 1201, pid=200)])
    assert asking.asked(40)[:2] == [10, 20], "one more"


def test_nobody_is_asked_while_nothing_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking(monkeypatch)
    asking.stage.play([worker_event("heartbeat", 1000), *stream("1 sent")])
    assert asking.asked(200) == []


def test_what_runs_for_long_is_asked_about_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking(monkeypatch, scheduled={"w1": []}, reserved={"w1": []}, active={"w1": [task("t1", T0 + 1000)]})
    asking.stage.play([worker_event("heartbeat", 1000), *stream("1000 received\n1000 started")])
    asked = asking.asked(300)
    assert [later - sooner for sooner, later in itertools.pairwise(asked)] == [60] * 3
    assert asking.stage.task().state == "STARTED"


def test_all_in_doubt_are_looked_for_among_results_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "MOST_RESULTS", 10)
    asking = Asking(monkeypatch)
    asked: list[str] = []

    class Looking:
        def ask(self, uuids: Sequence[str], now: float) -> None:
            del now
            asked.extend(uuids)

    asking.questions._results = Looking()  # type: ignore[assignment]
    for n in range(250):
        asking.stage.play(stream("1 received\n1 started", f"t{n}"))
    asking.stage.reducer.listen(T0 + 2, T0 + 3)
    for _ in range(29):
        asking.now += 1
        asking.questions._look_for_results(T0 + asking.now)
    assert len(asked) == len(set(asked)) == 250
    asking.now += 30
    asking.questions._look_for_results(T0 + asking.now)
    assert asked[250:] == asked[:10]


# --- real workers that are there, or not any more ---------------------------------------------------------------------


def is_present(control: Control, hostname: str) -> bool:
    return control.present([hostname])[hostname]


def test_redis_knows_a_busy_solo_pool_from_one_that_was_killed(redis_server: RedisServer, tmp_path: Path) -> None:
    control = RedisControl(redis_address(redis_server.url), "observe", on_command=lambda _number: None)
    with worker(redis_server.url, "w1", tmp_path / "w1.log", pool="solo", slots=1) as solo:
        eventually(lambda: control.ask("ping", timeout=1.0), "the worker", within=60)
        assert is_present(control, solo.hostname), "it answers"
        uuid = busy(make_app(redis_server.url), redis_server.url)
        assert is_present(control, solo.hostname), f"it runs {uuid} and is mute"
        solo.kill()
        eventually(lambda: not is_present(control, solo.hostname), "that it is gone")
        assert control.present(["w1@test", "w2@test"]) == {"w1@test": False, "w2@test": False}
    control.close()


def test_rabbitmq_knows_a_busy_solo_pool_from_one_that_was_killed(rabbitmq_url: str, tmp_path: Path) -> None:
    control = AmqpControl(amqp_address(rabbitmq_url), "observe", on_command=lambda _number: None)
    assert control.present(["nobody@test"]) == {"nobody@test": False}
    with worker(rabbitmq_url, "w1", tmp_path / "w1.log", pool="solo", slots=1) as solo:
        eventually(lambda: control.ask("ping", timeout=1.0), "the worker", within=60)
        app = make_app(rabbitmq_url)
        app.send_task("truth.timed", (3600.0,))
        app.close()
        eventually(lambda: control.ask("ping", timeout=0.5) == {}, "that it is mute")
        assert control.present([solo.hostname, "nobody@test"]) == {solo.hostname: True, "nobody@test": False}
        solo.kill()
        eventually(lambda: not is_present(control, solo.hostname), "that it is gone")
    control.close()


def test_in_passive_mode_nobody_is_looked_for(redis_server: RedisServer, rabbitmq_url: str) -> None:
    for control in (
        RedisControl(redis_address(redis_server.url), "passive", on_command=lambda _number: None),
        AmqpControl(amqp_address(rabbitmq_url), "passive", on_command=lambda _number: None),
    ):
        with pytest.raises(Forbidden):
            control.present(["w1@test"])


def busy(app: Celery, url: str) -> str:
    """Have a worker run a task for as long as it lives; its id."""
    uuid: str = app.send_task("truth.wait").id
    with marks(url) as client:
        eventually(lambda: client.exists(f"running.{uuid}"), "the task's start", within=60)
    app.close()
    return uuid


# --- what tasks are called with --------------------------------------------------------------------------------------

JSON_ONLY = {"accept_content": ["json"]}


def called(uuid: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    return {uuid: ["active", task(uuid, 5.5) | {"args": args, "kwargs": kwargs}]}


def test_what_long_tasks_are_called_with_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"scheduled": {"w1": []}, "reserved": {"w1": []}, "active": {"w1": [task("t1", T0 + 1000)]}}
    told = {"conf": {"w1": JSON_ONLY}, "query_task": {"w1": called("t1", 1, "x" * 2_000, k=float("nan"))}}
    asking = Asking(monkeypatch, **answers, **told)
    asking.stage.play([worker_event("heartbeat", 1000), *stream("1000 received\n1000 started")])
    asking.asked(200)
    asked = [(command, to, dict(how)) for command, to, how in asking.control.asked if command in told]
    assert asked == [("conf", ["w1"], {"with_defaults": True}), ("query_task", ["w1"], {"ids": ["t1"]})]
    (kept,) = asking.stage.reducer.flush().arguments
    assert (kept.args, kept.kwargs) == (f'[1, "{"x" * 2_000}"]', '{"k": NaN}')


def test_where_arguments_are_kept_nowhere_nobody_is_asked_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking(monkeypatch, scheduled={"w1": []}, reserved={"w1": []}, active={"w1": [task("t1", T0 + 1000)]})
    asking.questions = Questions(asking.stage.reducer, asking.inquiry, None, keep_arguments=False)
    asking.stage.play([worker_event("heartbeat", 1000), *stream("1000 received\n1000 started")])
    assert asking.asked(200) != []
    assert {command for command, *_ in asking.control.asked} == {
        "stats",
        "active_queues",
        "scheduled",
        "reserved",
        "active",
    }


@pytest.mark.parametrize(
    ("conf", "answer"),
    [
        (JSON_ONLY, called("other", 1)),
        (JSON_ONLY, called("t1", "x" * 70_000)),
        (JSON_ONLY, {"t1": ["active", {"id": "t1"}]}),
        (JSON_ONLY, {"error": "no"}),
        (JSON_ONLY, []),
        ({"accept_content": ["json", "pickle"]}, called("t1", 1)),
        ({"accept_content": []}, called("t1", 1)),
        ({}, called("t1", 1)),
        ({"error": "no"}, called("t1", 1)),
    ],
)
def test_nothing_is_kept_of_what_is_not_told_for_sure(conf: object, answer: object) -> None:
    with inquiring(Told({"conf": {"w1": conf}, "query_task": {"w1": answer}})) as (inquiry, learnt):
        inquiry.called({"w1": ["t1"]})
        assert learnt() == [CalledWith({}), Trouble("workers", None)]
