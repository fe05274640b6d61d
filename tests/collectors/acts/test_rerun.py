"""Tasks run again: where their arguments are found, how good they are, and what is sent and what is not."""

import json
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu.serialization import register_pickle
from redis import Redis

from app.collectors.access import Access
from app.collectors.acts.act import Impossible, Reach
from app.collectors.acts.arguments import Lookup, of_stored
from app.collectors.acts.catalogue import act_of
from app.collectors.acts.engine import Prepared, prepare, resume
from app.collectors.brokers import broker_at
from app.collectors.envelope import Known, for_redis, made, new_id
from app.collectors.inspector import Called
from app.collectors.publisher import SENT
from app.collectors.results import Stored
from app.collectors.transport import redis_address
from app.models import acts
from app.models.acts import Edited, Outcome, Rerun, Send, Wish
from app.models.arguments import of_text
from app.models.audit import AuditLog, Subject
from app.models.audit_chain import read
from app.models.history.errors import HistoryError
from app.models.history.reader import Reader
from app.models.records import Event
from tests.helpers.events import T0, event
from tests.helpers.fake_workers import Manners, fake_workers, named
from tests.helpers.histories import Recording, recording
from tests.helpers.servers import RedisServer


class Bench:
    """A broker, a history of it, and what acts do there."""

    def __init__(self, server: RedisServer, folder: Path, history: Recording) -> None:
        self.server, self.history = server, history
        self.path = folder / "history.cloche"
        self.log = AuditLog(folder / "audit.jsonl", Subject("shop", server.url, "development"))
        self.access = Access("operate", "development")
        self.access.unlock()
        self.client = Redis.from_url(server.url)
        self.backend = Redis.from_url(f"{server.url[:-1]}1")
        self.keep_arguments = True

    def play(self, *events: Event) -> None:
        self.history.play(events).commit()

    def ran(self, uuid: str, args: str, kwargs: str = "{}", **sent: Any) -> None:
        """A task that succeeded."""
        told = {"uuid": uuid, "name": "shop.bill", "args": args, "kwargs": kwargs}
        self.play(
            event("sent", 0, **told, **sent), event("received", 1, **told), event("started", 2, uuid=uuid),
            event("succeeded", 3, uuid=uuid, result="None", runtime=1.0),
        )  # fmt: skip

    def wait_in(self, queue: str, uuid: str, *args: Any) -> None:
        message = made(Known(name="shop.bill", args=list(args), kwargs={}, id=uuid))
        self.client.lpush(queue, for_redis(message, "", queue))

    def stored(self, uuid: str, *args: Any, **told: Any) -> None:
        usual: dict[str, Any] = {
            "status": "SUCCESS",
            "result": None,
            "name": "shop.bill",
            "args": args,
            "kwargs": {},
            "queue": "celery",
        }
        self.backend.set(f"celery-task-meta-{uuid}", json.dumps(usual | told))

    def reach(self) -> Reach:
        results = redis_address(f"{self.server.url[:-1]}1")
        history = self.path if self.path.exists() else None
        return Reach(broker_at(self.server.url), self.access, history, lambda _: None, self.keep_arguments, results)

    def plan(self, wish: Wish) -> Prepared:
        return prepare(partial(act_of, reach=self.reach()), wish, self.log)

    def detail(self, uuid: str) -> dict[str, Any]:
        return dict(self.plan(Rerun([uuid])).plan.details["tasks"][0])

    def sent_to(self, queue: str) -> list[dict[str, Any]]:
        found = (json.loads(raw)["headers"] for raw in self.client.lrange(queue, 0, -1))
        return [headers for headers in found if "retried_from" in headers]


@pytest.fixture
def bench(redis_server: RedisServer, tmp_path: Path) -> Iterator[Bench]:
    with recording(tmp_path / "history.cloche") as history:
        history.commit()
        made_ = Bench(redis_server, tmp_path, history)
        yield made_
        made_.client.close()
        made_.backend.close()


def workers_say(monkeypatch: pytest.MonkeyPatch, *, json_only: bool | None, **called: Called) -> None:
    monkeypatch.setattr(Lookup, "_ask_workers", lambda _lookup, _ids: (json_only, called))


def last(prepared: Prepared) -> Outcome:
    return list(prepared.execute(prepared.plan.typed, acts.FASTEST))[-1]


def test_a_message_that_waits_is_sent_again_as_it_is(bench: Bench) -> None:
    bench.wait_in("celery", "old", 1, "x" * 3_000)
    bench.play(event("sent", 0, uuid="old", name="shop.bill"))
    prepared = bench.plan(Rerun(["old"]))
    (task,) = prepared.plan.details["tasks"]
    assert (task["grade"], task["source"]) == ("exact", "its message in the queue celery")
    assert any("runs twice" in warning for warning in task["warnings"])
    outcome = last(prepared)
    new = new_id(prepared.id, "old")
    assert (outcome.state, outcome.done, outcome.failed) == ("done", 1, 0)
    assert outcome.items[0].text == f"sent as {new}"
    (headers,) = bench.sent_to("celery")
    assert (headers["id"], headers["parent_id"], headers["root_id"]) == (new, "old", "old")
    assert not bench.client.keys(f"{SENT}*")


def test_what_only_events_tell_is_not_sent_unless_somebody_looked_at_it(bench: Bench) -> None:
    bench.ran("old", "(1, 'two')")
    prepared = bench.plan(Rerun(["old"]))
    assert (prepared.plan.count, prepared.plan.needs_edit) == (0, ["old"])
    (task,) = prepared.plan.details["tasks"]
    assert (task["grade"], task["args"]) == ("reconstructed", '[1, "two"]')
    assert any("succeeded before" in warning for warning in task["warnings"])
    outcome = last(prepared)
    assert (outcome.state, outcome.done, outcome.failed) == ("done", 0, 1)
    assert "your look" in outcome.text
    assert bench.sent_to("celery") == []
    last(bench.plan(Rerun(["old"], edited={"old": Edited('[1, "three"]', "{}")})))
    (headers,) = bench.sent_to("celery")
    assert headers["argsrepr"] == "[1, 'three']"


def test_what_needs_a_look_does_not_stop_the_others(bench: Bench) -> None:
    for number in range(30):
        bench.wait_in("celery", f"w{number}", number)
        bench.ran(f"r{number}", "('cut...',)")
    outcome = last(bench.plan(Rerun([f"{kind}{number}" for number in range(30) for kind in "rw"])))
    assert (outcome.state, outcome.done, outcome.failed) == ("done", 30, 30)
    assert len(bench.sent_to("celery")) == 30


def test_what_is_told_by_workers_that_take_json_only_is_exact(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.play(event("received", 1, uuid="old", name="shop.bill", args="('cut...',)"), event("started", 2, uuid="old"))
    called = Called("shop.bill", [1, float("nan")], {"a": "\ud800"})
    called.delivery_info.routing_key, called.delivery_info.priority = "mail", 3
    workers_say(monkeypatch, json_only=True, old=called)
    detail = bench.detail("old")
    assert (detail["grade"], detail["to"], detail["kept"]) == ("exact", "the queue mail", ["priority 3"])
    assert detail["args"] == "[1, NaN]"
    assert any("running now" in warning for warning in detail["warnings"])


def test_what_a_worker_told_before_is_exact_for_that_attempt_only(bench: Bench) -> None:
    sent = event("sent", 0, uuid="old", name="shop.bill", args="('cut...',)")
    bench.play(sent, event("received", 1, uuid="old", name="shop.bill", args="('cut...',)"))
    bench.play(event("started", 2, uuid="old"))
    bench.history.reducer.fold_arguments({"old": ('["whole"]', "{}")}, T0 + 60)
    bench.history.commit()
    detail = bench.detail("old")
    assert (detail["grade"], detail["args"], detail["source"]) == ("exact", '["whole"]', "its worker, while it ran")
    bench.play(event("retried", 70, uuid="old", exception="E()"))
    bench.play(event("received", 71, uuid="old", name="shop.bill", args="('other...',)", retries=1))
    bench.play(event("started", 72, uuid="old"))
    assert bench.detail("old")["grade"] == "incomplete"


def test_results_are_exact_where_no_task_can_change_them(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.ran("plain", "('x...', datetime.date(2020, 1, 1))")
    bench.stored("plain", "x" * 2_000, {"__type__": "date", "__value__": "2020-01-01"}, 1.0)
    bench.ran("same", "([1, 2], 'cut...')")
    bench.stored("same", [1, 2], "cut and more")
    bench.ran("changed", "([1, 2],)")
    bench.stored("changed", [1, 2, "changed"])
    bench.ran("maybe", "([1, 'x...'],)")
    bench.stored("maybe", [1, "xyz"])
    bench.ran("renamed", "('x...',)")
    bench.stored("renamed", "xyz", name="shop.other")
    workers_say(monkeypatch, json_only=True)
    found = {task: bench.detail(task) for task in ("plain", "same", "changed", "maybe", "renamed")}
    assert {task: each["grade"] for task, each in found.items()} == {
        "plain": "exact", "same": "exact", "changed": "reconstructed", "maybe": "reconstructed",
        "renamed": "incomplete",
    }  # fmt: skip
    assert (found["changed"]["doubtful"], found["changed"]["args"]) == (["args[0]"], "[[1, 2]]")
    assert found["maybe"]["doubtful"] == ["args[0]"]
    for json_only in (None, False):
        workers_say(monkeypatch, json_only=json_only)
        assert bench.detail("plain")["grade"] == "reconstructed"


@pytest.mark.parametrize(
    ("status", "doubtful"), [("STARTED", []), ("RETRY", ["args[0]", "args[1]"]), ("FAILURE", ["args[1]"])]
)
def test_when_results_were_stored_tells_what_may_have_changed(status: str, doubtful: list[str]) -> None:
    stored = Stored(status, "shop.bill", ["text", [1]], {})
    assert of_stored(stored, of_text(None, None, json_only=True), json_only=True).doubtful == doubtful


def test_where_a_task_goes_is_known_or_asked_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.play(event("received", 1, uuid="old", name="shop.bill", args="(1,)"))
    edited = {"old": Edited("[1]", "{}")}
    plan = bench.plan(Rerun(["old"], edited=edited)).plan
    assert (plan.count, plan.details["tasks"][0]["warnings"][0]) == (
        0,
        "It is not known which queue it went to. Choose one.",
    )
    last(bench.plan(Rerun(["old"], edited=edited, queue="other")))
    assert len(bench.sent_to("other")) == 1
    bench.history.reducer.fold_inspection("w1", {"queues": ["mail"]}, T0)
    bench.history.commit()
    assert bench.detail("old")["to"] == "the queue mail"


def test_a_member_of_a_group_that_is_pickled_is_refused(bench: Bench) -> None:
    message = made(Known(name="shop.bill", args=[], kwargs={}, id="old"))
    raw = json.loads(for_redis(message, "", "celery"))
    raw["headers"]["group"], raw["content-type"] = "g", "application/x-python-serialize"
    bench.client.lpush("celery", json.dumps(raw))
    plan = bench.plan(Rerun(["old"])).plan
    assert (plan.count, plan.needs_edit) == (0, ["old"])
    assert "chord" in plan.details["tasks"][0]["warnings"][0]


def test_a_message_of_protocol_1_is_sent_in_that_of_today(bench: Bench) -> None:
    register_pickle()  # the application's; an earlier test of ours may have taken it away from kombu in this process
    with Celery(set_as_current=False, broker=bench.server.url) as app:
        app.conf.task_protocol = 1
        app.send_task("shop.bill", [1], {"k": "two"}, task_id="old", queue="celery")
        app.send_task("shop.bill", [1], task_id="pickled", queue="celery", serializer="pickle")
    prepared = bench.plan(Rerun(["old", "pickled"]))
    pickled, task = prepared.plan.details["tasks"]
    assert (task["grade"], task["args"], task["kwargs"]) == ("exact", "[1]", '{"k": "two"}')
    assert any("Celery's old protocol 1" in warning for warning in task["warnings"])
    assert "protocol 1" in pickled["warnings"][0]
    assert "is not loaded" in pickled["warnings"][0]
    assert last(prepared).done == 1
    (headers,) = bench.sent_to("celery")
    assert (headers["task"], headers["parent_id"], headers["root_id"]) == ("shop.bill", "old", "old")


def test_a_message_of_a_protocol_that_nobody_knows_is_refused(bench: Bench) -> None:
    bench.wait_in("celery", "old", 1)
    odd = json.loads(bench.client.rpop("celery"))  # type: ignore[arg-type]
    odd["headers"] = {"protocol": 3, "id": "old"}
    bench.client.lpush("celery", json.dumps(odd))
    prepared = bench.plan(Rerun(["old"]))
    assert prepared.plan.count == 0
    assert "no form of Celery's that Cloche knows" in last(prepared).items[0].text


def test_a_search_is_made_into_ids(bench: Bench) -> None:
    for number in range(3):
        bench.play(event("sent", number, uuid=f"t{number}", name="shop.bill"))
        bench.wait_in("celery", f"t{number}", number)
    bench.play(event("sent", 9, uuid="other", name="shop.other"))
    prepared = bench.plan(Rerun(search="name:shop.bill"))
    assert prepared.plan.count == 3
    last(prepared)
    assert next(entry.wish for entry, _ in read(bench.log.path)) == Rerun(["t0", "t1", "t2"])
    for search, why in (("runtime:>", "duration"), ("", "Name tasks"), ("name:nothing", "no task")):
        with pytest.raises(Impossible, match=why):
            bench.plan(Rerun(search=search))


def test_there_is_a_most(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.collectors.acts.rerun.MOST_ITEMS", 2)
    with pytest.raises(Impossible, match="more than 2 tasks"):
        bench.plan(Rerun(["a", "b", "c"]))


def test_a04_nothing_is_sent_when_tasks_went_on_since_the_plan(bench: Bench) -> None:
    for number in range(5):
        bench.wait_in("celery", f"t{number}", number)
        bench.play(event("sent", number, uuid=f"t{number}", name="shop.bill"))
    prepared = bench.plan(Rerun([f"t{number}" for number in range(5)]))
    bench.play(event("received", 10, uuid="t3"), event("started", 11, uuid="t3"), event("succeeded", 12, uuid="t3"))
    outcome = last(prepared)
    assert (outcome.state, outcome.done) == ("failed", 0)
    assert "moved" in outcome.text
    assert bench.sent_to("celery") == []


def test_nothing_of_the_arguments_is_in_the_audit_log_but_what_was_edited(bench: Bench) -> None:
    bench.wait_in("celery", "old", "canary-one")
    last(bench.plan(Rerun(["old"])))
    bench.keep_arguments = False
    last(bench.plan(Rerun(["old"], edited={"old": Edited('["canary-two"]', "{}")})))
    written = bench.log.path.read_text(encoding="utf-8")
    assert "canary" not in written
    bench.keep_arguments = True
    last(bench.plan(Rerun(["old"], edited={"old": Edited('["canary-three"]', "{}")})))
    assert "canary-three" in bench.log.path.read_text(encoding="utf-8")


def test_an_act_that_was_broken_off_is_taken_up_where_it_was(bench: Bench) -> None:
    for number in range(10):
        bench.wait_in("waiting", f"t{number}", number)
    bench.client.sadd("_kombu.binding.waiting", "waiting\x06\x16\x06\x16waiting")
    prepared = bench.plan(Rerun([f"t{number}" for number in range(10)], queue="again"))
    steps = prepared.execute(prepared.plan.typed, 20.0)
    next(steps)
    prepared.stop()
    assert [*steps][-1].state == "stopped"
    there = len(bench.sent_to("again"))
    assert 0 < there < 10
    assert bench.client.exists(f"{SENT}{prepared.id}")
    outcome = last(resume(partial(act_of, reach=bench.reach()), prepared.id, bench.log))
    assert (outcome.state, outcome.done) == ("done", 10 - there)
    assert sorted(headers["retried_from"] for headers in bench.sent_to("again")) == [
        f"t{number}" for number in range(10)
    ]
    assert not bench.client.exists(f"{SENT}{prepared.id}")


@pytest.mark.parametrize(("others", "exact"), [([1], True), ([1.0], False), ([2], False)])
def test_workers_that_contradict_each_other_are_not_taken_at_their_word(
    bench: Bench, others: list[Any], *, exact: bool
) -> None:
    bench.play(event("sent", 0, uuid="old", name="shop.bill", args="(1,)", kwargs="{}", queue="celery"))
    has: list[Any] = [{"old": ["active", {"name": "shop.bill", "args": args, "kwargs": {}}]} for args in ([1], others)]
    says: dict[str, list[Any]] = {"conf": [{"accept_content": ["json"]}], "query_task": has}
    with fake_workers(bench.server.url, Manners(named(2), says=says)):
        plan = bench.plan(Rerun(["old"])).plan
    (task,) = plan.details["tasks"]
    assert (task["grade"] == "exact") is exact
    assert any("different things" in caution.text for caution in plan.cautions) is not exact


def test_where_the_broker_is_away_that_is_said(bench: Bench) -> None:
    bench.ran("old", "(1,)")
    bench.server.kill()
    prepared = bench.plan(Rerun(["old"], edited={"old": Edited("[1]", "{}")}))
    assert any("No connection" in caution.text for caution in prepared.plan.cautions)
    outcome = last(prepared)
    assert outcome.state == "failed"
    assert "No connection" in outcome.text


def test_a_history_that_can_t_be_read_is_said_and_nothing_is_guessed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object, **__: object) -> None:
        raise HistoryError("The history can't be read: it is damaged.")

    bench.wait_in("celery", "old", 1)
    bench.play(event("sent", 0, uuid="old", name="shop.bill"))
    prepared = bench.plan(Rerun(["old"]))
    monkeypatch.setattr(Reader, "task", damaged)
    assert last(prepared).text == "Nothing was done. The history can't be read: it is damaged."
    monkeypatch.setattr(Reader, "queues", damaged)
    with pytest.raises(Impossible, match="damaged"):
        bench.plan(Rerun(["old"]))
    assert bench.plan(Send("shop.bill")).plan.count == 1
    monkeypatch.setattr(Reader, "tasks", damaged)
    with pytest.raises(Impossible, match="damaged"):
        bench.plan(Rerun(search="state:failed"))


def test_a_new_task_is_sent(bench: Bench) -> None:
    wish = Send("shop.bill", "[1]", '{"a": NaN}', queue="mail", priority=6, eta=T0 + 1e8, time_limit=9)
    prepared = bench.plan(wish)
    assert [caution.text for caution in prepared.plan.cautions] == [
        "No task called shop.bill was ever seen here. Check its name."
    ]
    outcome = last(prepared)
    assert (outcome.state, outcome.done) == ("done", 1)
    (raw,) = bench.client.lrange("mail\x06\x166", 0, -1)
    headers = json.loads(raw)["headers"]
    assert (headers["task"], headers["timelimit"], headers["eta"][:4]) == ("shop.bill", [9.0, None], "2030")
    assert headers["id"] == outcome.items[0].text.removeprefix("sent as ")
    assert not bench.client.keys(f"{SENT}*")


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (Send("", "[]"), "has a name"),
        (Send("shop.bill", "{}"), "JSON array"),
        (Send("shop.bill", priority=256), "from 0 to 255"),
        (Send("shop.bill", queue=" "), "goes to a queue"),
        (Send("shop.bill", "***", "***"), "was not written down"),
        *((Send("shop.bill", eta=when), "before the year 2100") for when in (1e300, 1e17, math.nan, math.inf, -1.0)),
        *((Send("shop.bill", expires=when), "before the year 2100") for when in (1e300, math.nan, -1e300)),
        *((Send("shop.bill", time_limit=limit), "above 0") for limit in (0.0, math.nan, math.inf)),
        (Send("shop.bill", queue="a\udcff"), "is no text"),
    ],
)
def test_what_makes_no_task_is_not_planned(bench: Bench, wish: Send, why: str) -> None:
    with pytest.raises(Impossible, match=why):
        bench.plan(wish)


def test_a_history_that_is_damaged_is_said_and_a_new_task_is_sent_all_the_same(bench: Bench) -> None:
    bench.ran("old", "(1,)")
    data = bench.path.read_bytes()
    bench.path.write_bytes(data[:4_096] + bytes((byte + 7) % 256 for byte in data[4_096:]))
    bench.path.with_name(f"{bench.path.name}-wal").write_bytes(b"")
    for wish in (Rerun(["old"]), Rerun(search="name:shop.bill")):
        with pytest.raises(Impossible, match="history can't be read"):
            bench.plan(wish)
    assert last(bench.plan(Send("shop.bill"))).done == 1


def test_what_looks_like_a_mistake_is_said(bench: Bench) -> None:
    bench.history.poll(0, celery=0).commit()
    bench.ran("t", "()")
    texts = [
        caution.text for caution in bench.plan(Send("shop.bil", queue="celry", eta=1.0, expires=2.0)).plan.cautions
    ]
    assert len(texts) == 4
    assert bench.plan(Send("shop.bill")).plan.cautions == []
