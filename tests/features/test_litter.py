"""H03: what we ask and tell workers leaves nothing behind, whoever answers late and whoever is killed meanwhile.

In the suite it is a few questions and kills; as many as are wanted:

    python -m tests.features.test_litter --questions 1000 --kills 100 --tells 100

prints what was there in a Redis afterwards, at once and after a minute: of who asked, and of who was killed while
asking, or while telling workers to change something.
"""

import argparse
import base64
import json
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self, get_args

import msgspec
import pytest
from redis import Redis

from app.collectors import redis_control
from app.collectors.acts.act import Impossible
from app.collectors.orders import QUESTIONS, EnableEvents
from app.collectors.redis_control import RedisControl
from app.collectors.transport import redis_address
from app.models.acts import Revoke, RevokeStamped, Steer, Steering, Wish
from app.models.wire import Configure
from tests.helpers import rabbits
from tests.helpers.acting import Actor, telling
from tests.helpers.celery_apps import ROOT, worker
from tests.helpers.collecting import child
from tests.helpers.events import envelope, raw
from tests.helpers.litter import MINUTE, keys, reply_lists, staying
from tests.helpers.servers import RabbitServer, RedisServer
from tests.helpers.waiting import eventually

CONTROL: Final = "/0.celery.pidbox"
EVENTS: Final = "/0.celeryev/worker.heartbeat"
SEP: Final = "\x06\x16"
#: Seconds that a question has, and by how much an answer is late at most.
PATIENCE: Final = 0.02
LATE: Final = 0.05
NAMES: Final = ("w1@late", "w2@late")
#: Who never answers.
SILENT: Final = "w1@silent"
#: What workers answer to when they are told it.
TELLS: Final[Sequence[Wish]] = (
    Revoke(["task-1"]), RevokeStamped("customer", ["1"]),
    *(Steer(command, [*NAMES], most=4, least=2, queue="later", task="shop.buy", rate="1/s", soft=1.0, hard=2.0)
      for command in get_args(Steering) if command != "shutdown"),
)  # fmt: skip


class LateWorkers:
    """Workers that answer as kombu does: at once, a while later, often just when nobody waits any more, or never."""

    def __init__(self, url: str, names: Sequence[str] = NAMES) -> None:
        self._client = Redis.from_url(url)
        self._heard = [self._client.pubsub() for _ in names]  # type: ignore[no-untyped-call]
        self._threads = [
            threading.Thread(target=self._answer, args=each, name=each[0])
            for each in zip(names, self._heard, strict=True)
        ]
        self.asked = 0
        self.told = 0
        self.answered = 0

    def __enter__(self) -> Self:
        for heard in self._heard:
            heard.subscribe(CONTROL)
            heard.get_message(timeout=5)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.publish(CONTROL, "end")
        for thread in self._threads:
            thread.join()
        for heard in self._heard:
            heard.close()
        self._client.close()

    def _answer(self, name: str, heard: Any) -> None:
        for message in heard.listen():
            if message["type"] != "message":
                continue
            if message["data"] == b"end":
                return
            asked = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
            if asked["method"] in QUESTIONS:
                self.asked += 1
            else:
                self.told += 1
            # Where nobody was heard, nobody is asked for an answer either.
            if "reply_to" in asked and secrets.randbelow(10):
                time.sleep(secrets.choice((0.0, secrets.randbelow(1_000) / 1_000 * (PATIENCE + LATE))))
                self._reply(asked, {name: {"ok": "pong"}})

    def _reply(self, asked: dict[str, Any], answer: object) -> None:
        reply = {"body": json.dumps(answer), "headers": {"ticket": asked["ticket"]}, "properties": {}}
        to = asked["reply_to"]
        for key in self._queues(to["exchange"], to["routing_key"]):
            self._client.lpush(key, json.dumps(reply))
            self.answered += 1

    def _queues(self, exchange: str, routing_key: str) -> list[str]:
        """As kombu's virtual channel looks queues up: the default exchange knows each by its name."""
        if not exchange:
            return [routing_key]
        bindings: set[bytes] = self._client.smembers(f"_kombu.binding.{exchange}")  # type: ignore[assignment]
        bound = (member.decode().split(SEP) for member in bindings)
        return [queue for key, _, queue in bound if key == routing_key]


@contextmanager
def broker() -> Iterator[tuple[RedisServer, Redis]]:
    with RedisServer() as server, Redis.from_url(server.url) as client:
        yield server, client


def ask(url: str, questions: int) -> None:
    """Ask so many questions that workers are late for."""
    control = RedisControl(redis_address(url), "operate", on_command=lambda _number: None)
    try:
        for at in range(questions):
            command = ("ping", "stats", "active_queues", "active", "reserved", "scheduled")[at % 6]
            control.ask(command, timeout=PATIENCE)  # type: ignore[arg-type]
    finally:
        control.close()


def heartbeat() -> bytes:
    return envelope(raw("worker-heartbeat", hostname="w1@late", freq=2.0, active=0, timestamp=time.time()))


def kill_while_asking(url: str, client: Redis, workers: LateWorkers, folder: Path, kills: int) -> None:
    """Start so many collectors, one after the other, and kill each while it asks."""
    for at in range(kills):
        with child(Configure("shop", url, str(folder / f"{at}.cloche"))) as process:
            before = workers.asked
            eventually(lambda: client.publish(EVENTS, heartbeat()), "its subscription")
            eventually(lambda: workers.asked > before, "its question")  # noqa: B023
            time.sleep(secrets.randbelow(1_000) / 1_000 * PATIENCE)
            process.send_signal(signal.SIGKILL)
            process.wait()


def tell(url: str, folder: Path) -> None:
    """In a process of its own, to be killed: tell workers all that they answer to, over and over."""
    actor = Actor(url, folder)
    while True:
        for wish in TELLS:
            with suppress(Impossible):  # just then none of them answers
                actor.do(wish)


def tell_who_is_silent(url: str) -> None:
    """In a process of its own, to be killed: wait for an answer that never comes."""
    with telling(url) as control:
        list(control.tell(EnableEvents(), [SILENT], [SILENT], timeout=600))


@contextmanager
def teller(url: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody who tells workers until he is killed, and is in the end."""
    command = [sys.executable, "-m", "tests.features.test_litter", "--tell", url, str(folder)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def kill_while_telling(url: str, workers: LateWorkers, folder: Path, kills: int) -> None:
    """Start so many tellers, one after the other, and kill each while it tells."""
    for at in range(kills):
        with teller(url, folder) as process:
            wanted = workers.told + 1 + at % (2 * len(TELLS))
            eventually(lambda: workers.told >= wanted or process.poll() is not None, "what it tells", within=60)  # noqa: B023
            time.sleep(secrets.randbelow(1_000) / 1_000 * PATIENCE)
            assert process.poll() is None, "it ended by itself"


def test_h03_tellers_that_are_killed_leave_no_key_that_stays(tmp_path: Path) -> None:
    with broker() as (server, client):
        with LateWorkers(server.url) as workers:
            kill_while_telling(server.url, workers, tmp_path, 5)
        assert workers.told > 5
        assert keys(client) == reply_lists(client), "and nothing but lists for answers"
        assert staying(client) == set()


def test_h03_tellers_that_are_killed_leave_no_queue_in_rabbitmq(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path
) -> None:
    mailbox = f"{SILENT}.celery.pidbox"

    def there() -> set[str]:
        return {*rabbits.queues(rabbitmq_server, rabbitmq_url)}

    with rabbits.client(rabbitmq_url) as channel:
        channel.exchange_declare("celery.pidbox", "fanout", auto_delete=False)
        channel.queue_declare(mailbox, auto_delete=False)
        channel.queue_bind(mailbox, "celery.pidbox")
        for _ in range(3):
            with teller(rabbitmq_url, tmp_path):
                told = eventually(lambda: channel.basic_get(mailbox, no_ack=True), "what it tells", within=60)
                own = json.loads(told.body)["reply_to"]
                queue = f"{own['routing_key']}.{own['exchange']}"
                assert json.loads(told.body)["method"] == "enable_events"
                eventually(lambda: there() == {mailbox, queue}, "the queue for answers")  # noqa: B023
            eventually(lambda: there() == {mailbox}, "that it goes")


def test_h03_answers_that_come_late_and_askers_that_are_killed_leave_no_key_that_stays(tmp_path: Path) -> None:
    with broker() as (server, client):
        with LateWorkers(server.url) as workers:
            ask(server.url, 60)
            kill_while_asking(server.url, client, workers, tmp_path, 3)
        assert workers.answered > 60
        assert keys(client) == reply_lists(client), "and nothing but lists for answers"
        assert staying(client) == set()


def test_h03_what_is_left_for_late_answers_is_gone_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_control, "REPLY_EXPIRES", 1)
    with broker() as (server, client):
        with LateWorkers(server.url):
            ask(server.url, 60)
        eventually(lambda: client.dbsize() == 0, "the end of the last list")


def test_h03_a_real_worker_that_answers_late_makes_no_key_that_stays(redis_server: RedisServer, tmp_path: Path) -> None:
    with (
        Redis.from_url(redis_server.url) as client,
        worker(redis_server.url, "w1", tmp_path / "w1.log", pool="solo", slots=1) as running,
    ):
        control = RedisControl(redis_address(redis_server.url), "observe", on_command=lambda _number: None)
        eventually(lambda: control.ask("ping", timeout=1.0), "a worker that answers", within=30)
        known = keys(client)
        running.process.send_signal(signal.SIGSTOP)
        try:
            assert control.ask("stats", timeout=0.1) == {}
        finally:
            running.process.send_signal(signal.SIGCONT)
        (late,) = reply_lists(client)
        eventually(lambda: client.llen(late) == 2, "its answer, beside the placeholder")
        control.close()
        assert keys(client) - known == {late}
        assert 0 < client.ttl(late) <= MINUTE


def main(words: Sequence[str] | None = None) -> None:
    """Ask, kill, and say what is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--tells", type=int, default=100)
    parser.add_argument("--tell", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    if given.tell:
        url, place = given.tell
        tell_who_is_silent(url) if url.startswith("amqp") else tell(url, Path(place))
        return
    with broker() as (server, client), tempfile.TemporaryDirectory() as folder:
        with LateWorkers(server.url) as workers:
            ask(server.url, given.questions)
            kill_while_asking(server.url, client, workers, Path(folder), given.kills)
            kill_while_telling(server.url, workers, Path(folder), given.tells)
        found: dict[str, object] = {
            "questions": given.questions,
            "kills": given.kills,
            "kills_while_telling": given.tells,
            "requests": workers.asked,
            "told": workers.told,
            "answers": workers.answered,
            "lists_right_after": len(reply_lists(client)),
            "keys_that_stay": sorted(staying(client)),
        }
        time.sleep(MINUTE)
        found["keys_after_a_minute"] = client.dbsize()
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
