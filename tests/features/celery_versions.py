"""Messages of ours, and messages of each Celery sent again, meet workers of each Celery from 5.2 to the newest.

    python -m tests.features.celery_versions [--versions 5.2 5.3 …] [--keep DIR]

Environments are made with pip, from the index it is set up with, in DIR (default: build/celery). Each runs its own
Celery as application, which sends, and as worker, which writes down what tasks were called with.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from redis import Redis

from app.collectors.access import Access
from app.collectors.acts.act import Reach
from app.collectors.acts.catalogue import act_of
from app.collectors.acts.engine import prepare
from app.collectors.brokers import broker_at
from app.collectors.transport import redis_address
from app.models.acts import FASTEST, Edited, Outcome, Purge, Rerun, Send, Wish
from app.models.audit import AuditLog, Subject
from app.models.audit_chain import read
from tests.helpers import echoes
from tests.helpers.servers import HOST, RabbitServer, RedisServer
from tests.helpers.waiting import eventually

ROOT: Final = Path(__file__).parents[2]
ECHOES: Final = ROOT / "tests/helpers/echoes.py"
#: Versions as pip is asked for them; the last is the newest, whatever it is.
VERSIONS: Final = ("5.2", "5.3", "5.4", "5.5", "5.6", "newest")
PATIENCE: Final = 60.0
#: What every task of `echoes.send` is called with.
ARGS: Final = echoes.canonical([1, "two", {"three": [3.5, None]}])
KWARGS: Final = echoes.canonical({"four": "żółć"})
#: What can't be sent again as it is: nobody looks into a pickled body, which may count for a chord, and of protocol 1
#: has all that there is.
REFUSED: Final = frozenset({"pickled group", "old pickle"})


class Bench:
    """A broker, an application and a worker of one Celery, and what acts of ours do there."""

    def __init__(self, url: str, marks: str, python: str, folder: Path, options: dict[str, str]) -> None:
        self.broker = broker_at(url, None, options)
        self.url, self.marks_url, self.python, self.folder = url, marks, python, folder
        self.marks = Redis.from_url(marks)
        backend = f"{marks[:-1]}1"
        self.backend = redis_address(backend)
        settings = {"result_backend": backend, "accept_content": ["json", "pickle"]}
        self.environment = {**os.environ, echoes.SETTINGS: json.dumps(settings), "C_FORCE_ROOT": "1"}

    def send(self) -> dict[str, str]:
        """Ids of tasks by what they carry, sent by the application to a queue without a worker."""
        command = [self.python, str(ECHOES), self.url, self.marks_url, "send", "kept"]
        done = subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True)
        return dict(json.loads(done.stdout))

    def worker(self, stack: ExitStack) -> None:
        log = stack.enter_context((self.folder / "worker.log").open("ab"))
        command = [
            self.python,
            str(ECHOES),
            self.url,
            self.marks_url,
            "worker",
            "-l",
            "INFO",
            "-c",
            "2",
            "-E",
            "-Q",
            "celery",
        ]
        process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)

    def do(self, wish: Wish) -> tuple[Outcome, dict[str, str], dict[str, Any]]:
        """What became of a wish, the new ids by the old ones, and the details of its plan."""
        access = Access("operate", "development")
        access.unlock()
        reach = Reach(self.broker, access, None, lambda _: None, results=self.backend)
        log = AuditLog(self.folder / "audit.jsonl", Subject("echo", "", "development"))
        prepared = prepare(partial(act_of, reach=reach), wish, log)
        outcome = list(prepared.execute(prepared.plan.typed, FASTEST))[-1]
        items = [item for entry, _ in read(log.path) if entry.act == prepared.id for item in entry.items]
        return outcome, {item.id: item.text.split()[2] for item in items if item.ok}, prepared.plan.details

    def got(self, id_: str) -> list[dict[str, Any]]:
        return [json.loads(told) for told in self.marks.lrange(f"got.{id_}", 0, -1)]

    def followers(self, word: str) -> list[dict[str, Any]]:
        args = echoes.canonical([word])
        return [told for told in map(json.loads, self.marks.lrange("all", 0, -1)) if told["args"] == args]


def check(bench: Bench) -> list[str]:
    """What is not as it has to be, in words."""
    wrong: list[str] = []
    wish = Send("echo.echo", '[1, {"__type__": "decimal", "__value__": "1.50"}, NaN]', '{"four": "żółć"}')
    wish = msgspec.structs.replace(wish, priority=3, time_limit=50.0, soft_time_limit=40.0, expires=time.time() + 3_000)
    _, new, _ = bench.do(wish)
    told = eventually(partial(bench.got, new["echo.echo"]), "the task that was sent", within=PATIENCE)[0]
    if told["kwargs"] != KWARGS or told["timelimit"] != [50, 40] or told["priority"] != 3 or "nan" not in told["args"]:
        wrong.append(f"sent: {told}")
    return wrong + _check_again(bench)


def _check_again(bench: Bench) -> list[str]:
    ids = bench.send()
    names = {id_: name for name, id_ in ids.items()}
    if bench.broker.marks:  # there, messages are looked at in quarantines only
        bench.do(Purge("kept"))
    outcome, new, _ = bench.do(Rerun(list(ids.values()), queue="celery"))
    wrong = [f"{names[id_]} was refused" for id_ in names.keys() - new.keys() if names[id_] not in REFUSED]
    wrong += [f"{name} was sent" for name in REFUSED if ids[name] in new]
    for id_, new_id in new.items():
        got = eventually(partial(bench.got, new_id), names[id_], within=PATIENCE)
        if problem := _differs(names[id_], id_, got):
            wrong.append(f"{names[id_]} {problem}: {got}")
    for word in ("linked", "old linked", "error linked", "second", "third"):
        told = eventually(partial(bench.followers, word), word, within=PATIENCE)
        if len(told) != 1:
            wrong.append(f"{word} ran {len(told)} times")
    if bench.followers("body"):
        wrong.append("the chord's body ran, though only one of its members ran, and again")
    edited = Edited('["edited"]', "{}")
    _, new, _ = bench.do(Rerun([ids["link"]], edited={ids["link"]: edited}, queue="celery"))
    eventually(lambda: len(bench.followers("edited")) == 1, "what was edited", within=PATIENCE)
    eventually(lambda: len(bench.followers("linked")) == 2, "what follows it", within=PATIENCE)
    return wrong + ([] if outcome.state == "done" else [outcome.text])


def _differs(name: str, id_: str, got: list[dict[str, Any]]) -> str:
    """What is not as it was, or not as it has to be of a task that runs again; "" if nothing."""
    told, name = got[0], name.removeprefix("old ")
    lasts = 0.0
    if told["expires"]:
        moment = told["expires"].replace("Z", "+00:00")
        lasts = datetime.fromisoformat(moment).timestamp() - time.time()
    expected = {
        "args": (told["args"], ARGS),
        "kwargs": (told["kwargs"], KWARGS),
        "times": (len(got), 1),
        "retried_from": (told["retried_from"], id_),
        "parent": (told["parent_id"], id_),
        "root": (told["root_id"], id_),
        "retries": (told["retries"], 0),
        "group": (told["group"], None),
        "priority": (told["priority"] or 0, 6 if name == "priority" else 0),
        "limits": (told["timelimit"], [50, 40] if name == "limits" else [None, None]),
        "expiry": (name.startswith("expiry"), 2_900 < lasts < 3_100),
        "shadow": (told["shadow"], "another.name" if name == "shadow" else None),
        "header": (told["mine"], "yes" if name == "header" else None),
        "stamps": ((told["stamps"] or {}).get("customer"), "7" if name == "stamps" else None),
    }
    return ", ".join(what for what, (is_, has_to_be) in expected.items() if is_ != has_to_be)


def made(version: str, folder: Path, *besides: str) -> str:
    """The Python of an environment with a version of Celery, and other packages."""
    place = folder / "-".join((version, *besides))
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (place / "done").exists():
        # With the kombu of its time, in which its packages for Redis are named.
        wanted = [] if version == "newest" else [f"celery=={version}.*", f"kombu=={version}.*"]
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        # Older kombu uses packaging without asking for it.
        subprocess.run(
            [
                str(python),
                "-m",
                "pip",
                "install",
                "-q",
                "--no-input",
                "celery[redis]",
                "kombu[redis]",
                *wanted,
                "packaging",
                *besides,
            ],
            check=True,
        )
        (place / "done").touch()
    return str(python)


def run(python: str, redis: RedisServer, url: str, options: dict[str, str]) -> list[str]:
    """What is wrong with one Celery on one broker."""
    with ExitStack() as stack, Redis.from_url(redis.url) as client:
        client.flushall()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cloche-celery-")))
        bench = Bench(url, f"{redis.url[:-1]}2", python, folder, options)
        stack.callback(bench.marks.close)
        bench.worker(stack)
        log = folder / "worker.log"
        try:
            eventually(lambda: "ready." in log.read_text(errors="replace"), "a worker", within=PATIENCE)
        except AssertionError as error:
            return [f"{error}: {log.read_text(errors='replace')[-1_000:]}"]
        return check(bench)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", nargs="+", default=VERSIONS)
    parser.add_argument("--keep", type=Path, default=ROOT / "build/celery")
    asked = parser.parse_args()
    failed = False
    with RedisServer() as redis, RabbitServer() as rabbit:
        for version in asked.versions:
            python = made(version, asked.keep)
            told = "import celery, kombu; print(celery.__version__, 'kombu', kombu.__version__)"
            found = subprocess.run([python, "-c", told], check=True, capture_output=True, text=True).stdout.strip()
            rabbit.make_virtual_host(version)
            for broker, url, options in (
                ("Redis", redis.url, {}),
                ("RabbitMQ", rabbit.url_of(version), {"management_url": f"http://{HOST}:{rabbit.management_port}"}),
            ):
                wrong = run(python, redis, url, options)
                failed = failed or bool(wrong)
                sys.stdout.write(f"celery {found} on {broker}: {'; '.join(wrong) or 'all as it has to be'}\n")
                sys.stdout.flush()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
