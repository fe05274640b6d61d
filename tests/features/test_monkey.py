"""A01: whatever is asked of a connection that may not act, nothing is done.

A monkey says anything that a window can say to a collector, in any order. In the suite for some thousand steps, and

    python -m tests.features.test_monkey --steps 100000

for as many as are wanted: it prints what the broker was asked, and whether its data is what it was.
"""

import argparse
import base64
import json
import random
import string
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pytest
from redis import Redis

from app.models import acts
from app.models.acts import Standing
from app.models.profiles import Mode
from app.models.wire import (
    Acted,
    Asked,
    Configure,
    DoAct,
    DropAct,
    Export,
    Lock,
    Message,
    Peek,
    PlanAct,
    Planned,
    Search,
    StopExport,
    StopSearch,
    Unlock,
    frame,
)
from tests.collectors.conftest import command
from tests.features.test_harmless import DEBUG, fill
from tests.helpers.collecting import child, hear
from tests.helpers.litter import MINUTE
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

#: Questions to workers, the only thing that is published in observe mode; in passive mode not even these.
QUESTIONS: Final = frozenset(
    {"ping", "stats", "active_queues", "active", "reserved", "scheduled", "query_task", "conf", "registered"}
)
#: What changes the broker while workers are asked: a list of our own for their answers.
_ASKING: Final = frozenset({"lpush", "lpop", "expire", "del", "publish"})
_ID: Final = "0a1b2c3d-0000-4000-8000-000000000000"


class Monkey:
    """Says anything; the same seed says the same."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._dice = random.Random(seed)
        self._folder = folder
        self._number = 0

    def message(self) -> Asked:
        """Anything that a window may say; but it never finds out how production is unlocked."""
        self._number += 1
        dice = self._dice
        number = dice.randint(max(1, self._number - 20), self._number)
        kinds: tuple[Callable[[], Asked], ...] = (
            lambda: PlanAct(self._number, self.wish()),
            lambda: PlanAct(self._number, None, self._text()),
            lambda: DoAct(number, dice.choice(["", "1", "10", self._text()]), dice.choice([None, 1e9, -1.0])),
            lambda: DropAct(number),
            lambda: Unlock(dice.choice(["", "yes", "Production", "operate", self._text()])),
            Lock,
            lambda: Peek(self._number, self._queue(), dice.randint(0, 30), dice.randint(1, 30), agreed=True),
            lambda: Search(self._number, self._queue(), self._text()),
            lambda: StopSearch(number),
            lambda: Export(self._number, self._queue(), str(self._folder / f"{number}.messages")),
            lambda: StopExport(number),
        )
        return dice.choice(kinds)()

    def wish(self) -> acts.Wish:
        """Any wish, with anything in its fields."""
        kind = self._dice.choice(get_args(acts.Wish))
        made: acts.Wish = msgspec.convert(self._value(msgspec.inspect.type_info(kind)), kind)
        return made

    def _value(self, hint: msgspec.inspect.Type) -> Any:
        """Anything of a type; what is none of these is a text."""
        dice = self._dice
        if isinstance(hint, msgspec.inspect.UnionType | msgspec.inspect.LiteralType):
            of = dice.choice(hint.types if isinstance(hint, msgspec.inspect.UnionType) else hint.values)
            made = self._value(of) if isinstance(of, msgspec.inspect.Type) else of
        elif isinstance(hint, msgspec.inspect.StructType):
            tag = {hint.tag_field: hint.tag} if hint.tag_field else {}
            made = tag | {field.encode_name: self._value(field.type) for field in hint.fields}
        elif isinstance(hint, msgspec.inspect.ListType):
            made = [self._value(hint.item_type) for _ in range(dice.randint(0, 3))]
        elif isinstance(hint, msgspec.inspect.DictType):
            made = {self._text(): self._value(hint.value_type) for _ in range(dice.randint(0, 2))}
        else:
            plain: dict[type[msgspec.inspect.Type], Any] = {
                msgspec.inspect.BoolType: dice.random() < 0.5,
                msgspec.inspect.IntType: dice.randint(-1, 1_000),
                msgspec.inspect.FloatType: dice.choice([0.0, 1.5, time.time() + 60]),
                msgspec.inspect.NoneType: None,
            }
            made = plain.get(type(hint), self._text())
        return made

    def _queue(self) -> str:
        return self._dice.choice(["queue-0", "queue-1", "unacked", "_kombu.binding.celery", self._text()])

    def _text(self) -> str:
        dice = self._dice
        known = ["queue-0", "queue-1", "w@x", "shop.buy", "celery", _ID, "10/m", "[]", "{}", "[1]", "state:failed"]
        if dice.random() < 0.7:
            return dice.choice(known)
        return "".join(dice.choices(string.printable + "äß\u202e\u0000", k=dice.randint(0, 30)))


class Published(threading.Thread):
    """What is published to anybody while this runs, and by which method where that is a request to workers."""

    def __init__(self, client: Redis) -> None:
        super().__init__(name="published")
        self._pubsub = client.pubsub()  # type: ignore[no-untyped-call]
        self._pubsub.psubscribe("*")
        self._stopping = threading.Event()
        self.methods: Counter[str] = Counter()

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        self._pubsub.close()

    def run(self) -> None:
        while not self._stopping.is_set():
            heard = self._pubsub.get_message(ignore_subscribe_messages=True, timeout=0.2)
            if heard is not None:
                channel = heard["channel"].decode()
                body = json.loads(base64.b64decode(json.loads(heard["data"])["body"]))
                self.methods[body["method"] if channel.endswith(".pidbox") else channel] += 1


class Report(msgspec.Struct):
    """What came of it: answers to the monkey, what was written to the broker, and what workers were asked."""

    mode: str
    steps: int
    answered: dict[str, int]
    writes: dict[str, int]
    asked: dict[str, int]
    unlocked: int = 0
    planned: int = 0
    done: int = 0
    unchanged: bool = False


def let_it_play(mode: Mode, steps: int, folder: Path, seed: int = 1) -> Report:
    """Have a monkey talk to a collector of this mode; in operate mode it is production, and locked."""
    with RedisServer(*DEBUG) as server, Redis.from_url(server.url) as client:
        fill(server.url, client)
        before = command(client, "DEBUG", "DIGEST")
        command(client, "CONFIG", "RESETSTAT")
        config = Configure("shop", server.url, str(folder / "h"), mode=mode, environment="production")
        with _published(client) as published, child(config) as process:
            said: list[Message] = []
            listening = threading.Thread(target=lambda: said.extend(hear(process)))
            listening.start()
            assert process.stdin is not None
            monkey = Monkey(seed, folder)
            for _ in range(steps):
                process.stdin.write(frame(monkey.message()))
            process.stdin.flush()
            process.stdin.write(frame(PlanAct(steps + 1, acts.Purge("queue-0"))))
            process.stdin.flush()
            eventually(
                lambda: any(isinstance(each, Planned) and each.number == steps + 1 for each in tuple(said)),
                "the end", within=120,
            )  # fmt: skip
            process.stdin.close()
            process.wait(30)
            listening.join()
        stats: dict[str, Any] = client.info("commandstats")
        known: dict[str, dict[str, Any]] = client.command()
        writing = {name for name, about in known.items() if "write" in about["flags"]} | {"publish"}
        counted = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
        eventually(lambda: command(client, "DEBUG", "DIGEST") == before, "the same data", within=2 * MINUTE)
        return Report(
            mode, steps,
            answered=dict(Counter(type(each).__name__ for each in said)),
            writes={name: calls for name, calls in counted.items() if name in writing},
            asked=dict(published.methods),
            unlocked=sum(isinstance(each, Standing) and each.unlocked is not None for each in said),
            planned=sum(isinstance(each, Planned) and each.plan is not None for each in said),
            done=sum(isinstance(each, Acted) and each.outcome.done > 0 for each in said),
            unchanged=True,
        )  # fmt: skip


@contextmanager
def _published(client: Redis) -> Iterator[Published]:
    published = Published(client)
    published.start()
    try:
        yield published
    finally:
        published.stop()


@pytest.mark.parametrize("mode", ["passive", "observe", "operate"])
def test_a01_whatever_a_window_says_nothing_is_done_where_acting_is_not_allowed(mode: Mode, tmp_path: Path) -> None:
    report = let_it_play(mode, 3_000, tmp_path)
    assert (report.unlocked, report.done) == (0, 0)
    assert report.answered["Acted"] > 10
    assert set(report.asked) <= (QUESTIONS if mode != "passive" else set())
    assert set(report.writes) <= (_ASKING if mode != "passive" else set())


def test_a01_that_something_is_done_would_be_seen(redis_server: RedisServer, client: Redis) -> None:
    with _published(client) as published:
        body = base64.b64encode(json.dumps({"method": "shutdown"}).encode()).decode()
        eventually(lambda: client.publish("/0.celery.pidbox", json.dumps({"body": body})), "who hears it")
        eventually(lambda: published.methods, "a request")
    assert published.methods == {"shutdown": 1}
    assert not published.methods.keys() <= QUESTIONS


def main(words: Sequence[str] | None = None) -> None:
    """Let it play, in every mode in turn, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    given = parser.parse_args(words)
    modes: tuple[Mode, ...] = ("passive", "observe", "operate")
    for mode in modes:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(msgspec.to_builtins(let_it_play(mode, given.steps, Path(folder)))))  # noqa: T201


if __name__ == "__main__":
    main()
