"""Tasks with arguments of every awkward kind, in every situation, run again: with the same ones, or not at all.

    python -m tests.features.test_rerun [--tasks 1000] [--seed 1]

What is right is told by no code of ours: each task writes down what it was really called with, and again so.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from celery import Celery
from kombu.serialization import dumps, loads, register_pickle
from redis import Redis

from app.collectors import questions
from app.collectors.access import Access
from app.collectors.acts.act import Reach
from app.collectors.acts.catalogue import act_of
from app.collectors.acts.engine import Prepared, prepare
from app.collectors.brokers import broker_at
from app.collectors.transport import redis_address
from app.models.acts import FASTEST, Edited, Outcome, Rerun, Wish
from app.models.audit import AuditLog, Subject
from app.models.quarantines import quarantine_name
from tests.helpers import echoes
from tests.helpers.awkward import OF_JSON, Make, call
from tests.helpers.collecting import collecting
from tests.helpers.histories import reading
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 120.0
#: Situations that a task may be in, and of a hundred tasks how many are.
SITUATIONS: Final = {
    "waits": 15, "held": 10, "quarantined": 10, "done": 20, "changed": 15, "failed": 10, "only heard of": 14, "runs": 3,
    "ran for long": 3,
}  # fmt: skip
#: What only pickle can send, besides.
OF_PICKLE: Final[dict[str, Make]] = OF_JSON | {
    "set": lambda dice: {dice.randrange(9), "a"},
    "of a class": lambda dice: echoes.Money(dice.randrange(9)),
    "complex": lambda dice: complex(1, dice.randrange(9)),
    "frozen": lambda dice: frozenset({1, (2, 3)}),
}
#: Of these the message itself is there, so that they are sent again whatever they are called with.
EXACT: Final = {"waits", "held", "quarantined"}


class Sent(msgspec.Struct):
    """A task, and what it was called with as workers get it, in the words of `echoes.canonical`."""

    id: str
    situation: str
    args: str
    kwargs: str


class World:
    """An application with its broker, workers and collector, and all its tasks."""

    def __init__(self, server: RedisServer, folder: Path, serializer: str, url: str = "") -> None:
        self.url = url or server.url
        self.marks_url = f"{server.url[:-1]}2"
        self.marks = Redis.from_url(f"{server.url[:-1]}2")
        self.backend = f"{server.url[:-1]}1"
        self.folder = folder
        self.serializer = serializer
        self.settings = {"result_backend": self.backend, "accept_content": list({"json", serializer})}
        self.app: Celery = echoes.make_app(self.url, self.marks_url, task_serializer=serializer, **self.settings)
        self.sent: list[Sent] = []

    @property
    def history(self) -> Path:
        return self.folder / "history.cloche"

    @contextmanager
    def worker(self, *words: str) -> Iterator[None]:
        command = [sys.executable, str(ROOT / "tests/helpers/echoes.py"), self.url, self.marks_url, "worker", "-E"]
        environment = {
            **os.environ,
            echoes.SETTINGS: json.dumps(self.settings),
            "PYTHONPATH": str(ROOT),
            "C_FORCE_ROOT": "1",
        }
        with (self.folder / "workers.log").open("ab") as log:
            process = subprocess.Popen([*command, *words], env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)

    def send(self, situation: str, task: str, dice: random.Random, **options: Any) -> Sent:
        plain = self.serializer == "json" or situation in ("done", "changed", "failed")
        args, kwargs = call(dice, OF_JSON if plain else OF_PICKLE)
        content_type, encoding, body = dumps([args, kwargs], serializer=self.serializer)
        got_args, got_kwargs = loads(body, content_type, encoding, accept=[content_type])
        made = self.app.send_task(f"echo.{task}", args, kwargs, **options)
        sent = Sent(made.id, situation, echoes.canonical(list(got_args)), echoes.canonical(got_kwargs))
        self.sent.append(sent)
        return sent

    def of(self, *situations: str) -> list[Sent]:
        return [sent for sent in self.sent if sent.situation in situations]

    def got(self, id_: str) -> list[dict[str, Any]]:
        return [json.loads(told) for told in self.marks.lrange(f"got.{id_}", 0, -1)]

    def ran(self, sent: list[Sent]) -> None:
        eventually(lambda: all(self.marks.exists(f"got.{each.id}") for each in sent), "what ran", within=PATIENCE)

    def ended(self, sent: list[Sent]) -> None:
        with reading(self.history) as reader:

            def over() -> bool:
                tasks = [reader.task(each.id) for each in sent]
                return all(task is not None and task.finished is not None for task in tasks)

            eventually(over, "what ended", within=PATIENCE)

    def plan(self, wish: Wish) -> Prepared:
        access = Access("operate", "development")
        access.unlock()
        reach = Reach(
            broker_at(self.url),
            access,
            self.history,
            lambda _: None,
            True,
            redis_address(self.backend),
        )
        log = AuditLog(self.folder / "audit.jsonl", Subject("echo", self.url, "development"))
        return prepare(partial(act_of, reach=reach), wish, log)


def send_all(world: World, number: int, dice: random.Random) -> None:
    """Bring so many tasks into every situation. Workers and a collector are there."""
    wanted = {situation: max(2, number * share // 100) for situation, share in SITUATIONS.items()}
    for _ in range(min(30, wanted["ran for long"])):
        world.send("ran for long", "hold", dice, queue="long", ignore_result=True)
    for situation, task, options in (
        ("waits", "echo", {"queue": "waiting"}),
        ("held", "echo", {"queue": "celery", "countdown": 3_000}),
        ("quarantined", "echo", {"queue": "purged"}),
        ("done", "echo", {"queue": "celery"}),
        ("changed", "change", {"queue": "celery"}),
        ("failed", "fail", {"queue": "celery"}),
        ("only heard of", "echo", {"queue": "celery", "ignore_result": True}),
    ):
        for _ in range(wanted[situation]):
            priority = dice.choice([None, 0, 3, 5, 9])
            world.send(situation, task, dice, priority=priority, **options)
    lasting = world.of("ran for long")
    world.ran(lasting)
    if world.serializer == "json":
        with reading(world.history) as reader:

            def told() -> bool:
                tasks = [reader.task(each.id) for each in lasting]
                return all(task is not None and reader.told(task.id) is not None for task in tasks)

            eventually(told, "that workers were asked for the arguments of long tasks", within=PATIENCE)
    world.marks.set("release", "1")
    world.ended(world.of("ran for long", "done", "changed", "failed", "only heard of"))
    world.marks.delete("release")
    for _ in range(min(30, wanted["runs"])):
        world.send("runs", "hold", dice, queue="long")
    world.ran(world.of("runs"))
    with Redis.from_url(world.url) as client:
        eventually(lambda: client.hlen("unacked") == len(world.of("held")), "what workers hold", within=PATIENCE)
        name = quarantine_name("purged")
        for key in client.scan_iter("purged*"):
            client.rename(key, key.replace(b"purged", name.encode(), 1))


def carry_out(prepared: Prepared) -> tuple[Outcome, dict[str, str]]:
    """What became of a plan, and the new ids by the old ones."""
    told: dict[str, str] = {}
    outcome = Outcome()
    for outcome in prepared.execute(prepared.plan.typed, FASTEST):  # noqa: B007 - the last one is wanted
        pass
    assert outcome.state == "done", outcome
    log = prepared._log.path  # what is written down of it
    for line in log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry.get("act") == prepared.id:
            told |= {item[0]: item[2].split()[2] for item in entry.get("items", ()) if item[1]}
    return outcome, told


class Figures(msgspec.Struct):
    """By situation: tasks that were sent again, refused, and sent with other arguments than they had."""

    sent: Counter[str]
    refused: Counter[str]
    wrong: list[str]
    #: The same of what events alone tell in full, sent as it stands as if somebody had looked at it and agreed.
    agreed: int = 0
    agreed_wrong: list[str] = []


def run(number: int, seed: int, serializer: str) -> Figures:
    """Bring tasks into all situations, run them all again, and compare."""
    dice = random.Random(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cloche-rerun-")))
        world = World(stack.enter_context(RedisServer()), folder, serializer)
        stack.enter_context(collecting(world.url, world.history, mode="operate"))
        stack.enter_context(world.worker("-n", "w1@test", "-Q", "celery", "-c", "2"))
        stack.enter_context(world.worker("-n", "w2@test", "-Q", "long", "-c", "80", "--pool", "threads"))
        send_all(world, number, dice)
        try:
            prepared = world.plan(Rerun(ids=[sent.id for sent in world.sent]))
            shown = {task["id"]: task for task in prepared.plan.details["tasks"]}
            outcome, new = carry_out(prepared)
            assert outcome.done == len(new)
            readable = [each for each in shown.values() if each["id"] not in new]
            agreed = {
                each["id"]: Edited(each["args"], each["kwargs"])
                for each in readable
                if each["grade"] == "reconstructed" and not each["doubtful"] and each["to"]
            }
            _, agreed_new = carry_out(world.plan(Rerun(ids=list(agreed), edited=agreed))) if agreed else (None, {})
            stack.enter_context(world.worker("-n", "w3@test", "-Q", "waiting,purged", "-c", "2"))
            world.marks.set("release", "1")
            return compare(world, new, agreed_new)
        finally:
            world.marks.set("release", "1")
            world.marks.close()
            world.app.close()


def compare(world: World, new: dict[str, str], agreed: dict[str, str]) -> Figures:
    figures = Figures(Counter(), Counter(), [])
    for sent in world.sent:
        for id_, wrong in ((new.get(sent.id), figures.wrong), (agreed.get(sent.id), figures.agreed_wrong)):
            if id_ is None:
                continue
            got = eventually(partial(world.got, id_), f"{sent.situation} {sent.args[:200]}", within=PATIENCE)
            same = (got[0]["args"], got[0]["kwargs"]) == (sent.args, sent.kwargs)
            if len(got) != 1 or not same or got[0]["retried_from"] != sent.id:
                wrong.append(f"{sent.situation}: {sent.args} {sent.kwargs} became {got}")
        figures.sent[sent.situation] += sent.id in new
        figures.refused[sent.situation] += sent.id not in new
    figures.agreed = len(agreed)
    for sent in world.of("done", "changed", "failed", "only heard of", "runs", "ran for long"):
        # What the comparison rests on is right, too.
        first = world.got(sent.id)[0]
        assert (first["args"], first["kwargs"]) == (sent.args, sent.kwargs), sent
    return figures


@pytest.mark.timeout(600)
@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_tasks_get_the_arguments_they_had_or_are_not_sent(monkeypatch: pytest.MonkeyPatch, serializer: str) -> None:
    monkeypatch.setattr(questions, "STALE_PAUSE", 0.5)
    register_pickle()  # the application's; an earlier test of ours may have taken it away from kombu in this process
    figures = run(200, 1, serializer)
    assert figures.wrong == []
    for situation in EXACT:
        assert (figures.sent[situation] > 0, figures.refused[situation]) == (True, 0), situation
    assert figures.sent["only heard of"] == 0
    if serializer == "json":
        assert figures.refused["runs"] == figures.refused["ran for long"] == 0
        assert figures.sent["done"] > figures.refused["done"]
        assert figures.agreed > 0
        assert figures.agreed_wrong == []
    else:
        assert sum(figures.sent.values()) == sum(figures.sent[situation] for situation in EXACT)


@pytest.mark.timeout(300)
def test_on_rabbitmq_workers_and_results_tell_what_tasks_were_called_with(
    redis_server: RedisServer, rabbitmq_url: str, tmp_path: Path
) -> None:
    dice, world = random.Random(1), World(redis_server, tmp_path, "json", rabbitmq_url)
    with ExitStack() as stack:
        stack.enter_context(collecting(world.url, world.history, mode="operate"))
        stack.enter_context(world.worker("-n", "w1@test", "-Q", "celery", "-c", "20", "--pool", "threads"))
        for _ in range(20):
            world.send("done", "echo", dice, queue="celery")
            world.send("only heard of", "echo", dice, queue="celery", ignore_result=True)
        world.ended(world.sent)
        for _ in range(5):
            world.send("held", "echo", dice, queue="celery", countdown=3_000)
            world.send("runs", "hold", dice, queue="celery")
        world.ran(world.of("runs"))
        with reading(world.history) as reader:
            there = [each.id for each in world.of("held")]
            eventually(lambda: all(reader.task(id_) is not None for id_ in there), "that a worker has it")
        try:
            outcome, new = carry_out(world.plan(Rerun(ids=[sent.id for sent in world.sent])))
            world.marks.set("release", "1")
            figures = compare(world, new, {})
        finally:
            world.marks.set("release", "1")
            world.marks.close()
            world.app.close()
    assert figures.wrong == []
    assert figures.refused["held"] == figures.refused["runs"] == figures.sent["only heard of"] == 0
    assert 0 < figures.sent["done"] <= outcome.done - 10


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    questions.STALE_PAUSE = 0.5  # type: ignore[misc]
    wrong = 0
    for serializer in ("json", "pickle"):
        figures = run(asked.tasks, asked.seed, serializer)
        total = sum(figures.sent.values()) + sum(figures.refused.values())
        _say(f"{serializer}: {total:,} tasks, {len(figures.wrong)} wrong")
        for situation in SITUATIONS:
            _say(f"  {situation:14} {figures.sent[situation]:5,} sent again {figures.refused[situation]:5,} refused")
        _say(f"  from the text of events, agreed to: {figures.agreed:,}, {len(figures.agreed_wrong)} other")
        for each in figures.wrong:
            _say(f"  WRONG {each[:1_000]}")
        for each in figures.agreed_wrong:
            _say(f"  other {each[:300]}")
        wrong += len(figures.wrong)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
