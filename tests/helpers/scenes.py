"""Scenes of real Celery workers at work, played on a Redis of their own and recorded by a witness: `record`.

See `tests.helpers.recordings` for what becomes of them.
"""

import json
import platform
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
from celery import chain, chord, group
from redis import Redis

from tests.helpers.celery_apps import ROOT, WorkerProcess, make_app, marks, soon, worker
from tests.helpers.recordings import FOLDER, About
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually
from tests.helpers.witness import Witness

PATIENCE: Final = 60.0
#: A message that was not acknowledged comes back after a second instead of after an hour.
_SOON_VISIBLE: Final = ("--", 'broker.transport_options=(dict){"visibility_timeout": 1}')
_ENDING: Final = {
    "SUCCESS": "task-succeeded",
    "FAILURE": "task-failed",
    "REVOKED": "task-revoked",
    "STARTED": "task-started",
    "PENDING": "task-sent",
}


class Stage:
    """What a scene is played on: a broker, workers, and the tasks sent with how each has to end."""

    def __init__(self, server: RedisServer, witness: Witness, folder: Path, at_end: ExitStack) -> None:
        self.ends: dict[str, str] = {}
        self.app = make_app(server.url)
        self.client = Redis.from_url(server.url)
        self._marks = marks(server.url)
        self._server, self._witness, self._folder, self._at_end = server, witness, folder, at_end
        self._workers: list[WorkerProcess] = []
        for each in (self.app, self.client, self._marks):
            at_end.callback(each.close)

    def worker(self, name: str = "w1", *options: str, **how: Any) -> WorkerProcess:
        """A worker that answers, with its events on unless options say what it has."""
        log = self._folder / f"{name}.log"
        made = self._at_end.enter_context(worker(self._server.url, name, log, *(options or ("-E",)), **how))
        self._workers.append(made)
        answers = lambda: self.app.control.ping([made.hostname], timeout=1)  # noqa: E731 - it belongs to one line
        eventually(answers, f"an answer of {name}", within=PATIENCE)
        return made

    def send(self, name: str, *args: object, end: str = "SUCCESS", **how: Any) -> str:
        """Send a task that has to end so; its id."""
        return self.keep(self.app.send_task(f"truth.{name}", args=args, **how), end)

    def task(self, name: str, *args: object) -> Any:
        """A part of a workflow."""
        return self.app.signature(f"truth.{name}", args=args)

    def keep(self, result: Any, end: str = "SUCCESS") -> str:
        """The task of this result has to end so; its id."""
        self.ends[str(result.id)] = end
        return str(result.id)

    def until_running(self, uuid: str) -> None:
        """The task itself says that it runs."""
        self.until_marked(f"running.{uuid}")

    def until_marked(self, key: str) -> None:
        """A task left this mark."""
        eventually(lambda: self._marks.exists(key), key, within=PATIENCE)

    def mark(self, key: str) -> None:
        """Leave a mark for a task that waits for it."""
        self._marks.set(key, "1")

    def until(self, uuid: str, kind: str, times: int = 1) -> None:
        """So many events of a kind were heard of a task."""
        eventually(lambda: self._heard(uuid).count(kind) >= times, f"{kind} of {uuid}", within=PATIENCE)

    def until_ended(self) -> None:
        """Each task's last event was heard."""
        for uuid, end in self.ends.items():
            self.until(uuid, _ENDING[end])

    def close(self) -> None:
        """All have ended: the workers that still run say goodbye."""
        self.until_ended()
        running = [each for each in self._workers if each.process.poll() is None]
        for each in running:
            each.ask_to_end()
        for each in running:
            each.wait(PATIENCE)
        eventually(lambda: self._witness.count("worker-offline") >= len(running), "their goodbye")

    def _heard(self, uuid: str) -> list[str]:
        return [event["type"] for event in list(self._witness.events) if event.get("uuid") == uuid]


# --- the scenes ------------------------------------------------------------------------------------------------------


def success(stage: Stage) -> None:
    """Three tasks that return."""
    stage.worker()
    for number in range(3):
        stage.send("add", number, 1)


def failure(stage: Stage) -> None:
    """A task that raises, one that nobody registered, and one whose result no serialiser takes."""
    stage.worker()
    stage.send("fail", "no such order", end="FAILURE")
    stage.send("nowhere", end="FAILURE")
    stage.send("unsendable", end="FAILURE")


def retry(stage: Stage) -> None:
    """Tasks that are retried, at once and after a pause, until they return."""
    stage.worker()
    stage.send("flaky", 1, 0)
    stage.send("flaky", 3, 0)
    stage.send("flaky", 2, 0.3)


def hopeless(stage: Stage) -> None:
    """A task that is retried twice and then fails."""
    stage.worker()
    stage.send("hopeless", end="FAILURE")


def eta(stage: Stage) -> None:
    """Tasks with a countdown and with an ETA, one with a priority."""
    stage.worker()
    stage.send("add", 1, 1, countdown=1)
    stage.send("add", 1, 2, eta=soon(0.5), priority=3)
    stage.send("add", 1, 3)


def expired(stage: Stage) -> None:
    """A task past its expiry when the first worker comes, and one that expires while it waits for its ETA."""
    stage.send("add", 1, 1, expires=soon(0.1), end="REVOKED")
    stage.worker()
    stage.send("add", 1, 2, countdown=2, expires=1, end="REVOKED")


def revoked(stage: Stage) -> None:
    """A task revoked while it waits in a queue, and one while it waits for its ETA."""
    stage.worker()
    queued = stage.send("add", 1, 1, queue="later", end="REVOKED")
    timed = stage.send("add", 1, 2, countdown=2, end="REVOKED")
    stage.until(timed, "task-received")
    stage.app.control.revoke([queued, timed], reply=True, timeout=5, limit=1)
    stage.app.control.add_consumer("later", reply=True, timeout=5, limit=1)


def terminated(stage: Stage) -> None:
    """Tasks terminated while they run, by SIGKILL and by SIGTERM."""
    stage.worker()
    for kind in ("SIGKILL", "SIGTERM"):
        running = stage.send("wait", end="REVOKED")
        stage.until_running(running)
        stage.app.control.revoke(running, terminate=True, signal=kind)
        stage.until(running, "task-revoked")


def rejected(stage: Stage) -> None:
    """A task that refuses its message for good."""
    stage.worker()
    stage.send("reject", "why", end="FAILURE")


def requeued(stage: Stage) -> None:
    """A task that refuses its message once and takes it when it comes again."""
    stage.worker()
    stage.send("requeue")


def ignored(stage: Stage) -> None:
    """A task that raises Ignore: nothing is ever heard of it after its start."""
    stage.worker()
    uuid = stage.send("ignore", end="STARTED")
    stage.until_marked(f"ignored.{uuid}")


def time_limits(stage: Stage) -> None:
    """A task killed at its hard time limit, which is reported twice, and one that meets its soft one."""
    stage.worker()
    hard = stage.send("overdue", end="FAILURE")
    stage.send("overdue_softly", end="FAILURE")
    stage.until(hard, "task-failed", times=2)


def worker_lost(stage: Stage) -> None:
    """Tasks whose pool process dies under them: one fails, one is put back into its queue and returns."""
    stage.worker()
    stage.until(stage.send("die", end="FAILURE"), "task-failed")
    stage.send("die_once")


def worker_killed(stage: Stage) -> None:
    """A worker killed at work and another that comes later: its acknowledged task is never heard of again."""
    first = stage.worker("w1")
    running = stage.send("wait", end="STARTED")
    stage.until_running(running)
    stage.until(running, "task-started")
    first.kill()
    stage.worker("w2")
    stage.send("add", 1, 1)


def redelivered(stage: Stage) -> None:
    """A worker killed at work on a task that it acknowledges late: another worker gets it and returns."""
    first = stage.worker("w1", "-E", *_SOON_VISIBLE)
    uuid = stage.send("wait_once")
    stage.until_marked(f"seen.{uuid}")
    stage.until(uuid, "task-started")
    first.kill()
    stage.worker("w2", "-E", *_SOON_VISIBLE)


def cancelled(stage: Stage) -> None:
    """A worker that lost its connection gives up what it acknowledges late; it is delivered again and returns."""
    cancelling = "worker.cancel_long_running_tasks_on_connection_loss=true"
    stage.worker("w1", "-E", *_SOON_VISIBLE, cancelling)
    uuid = stage.send("wait_once")
    stage.until_marked(f"seen.{uuid}")
    stage.until(uuid, "task-started")
    stage.client.client_kill_filter(_type="normal", skipme=True)


def twice(stage: Stage) -> None:
    """A task that runs for longer than its broker waits for an acknowledgement: it is delivered and run once more."""
    stage.worker("w1", "-E", *_SOON_VISIBLE)
    uuid = stage.send("outlast_late", "enough")
    stage.until_running(uuid)
    stage.worker("w2", "-E", *_SOON_VISIBLE)
    stage.until(uuid, "task-started", times=2)
    stage.mark("enough")
    stage.until(uuid, "task-succeeded", times=2)


def restarted(stage: Stage) -> None:
    """A worker asked to end gives back what it fetched and did not begin; another one takes it."""
    first = stage.worker("w1", slots=1)
    long = stage.send("outlast", "enough")
    stage.until_running(long)
    waiting = [stage.send("add", number, 1) for number in range(3)]
    for uuid in waiting:
        stage.until(uuid, "task-received")
    first.ask_to_end()
    stage.mark("enough")
    first.wait(PATIENCE)
    stage.worker("w2")


def progress(stage: Stage) -> None:
    """A task that reports its progress by events of its own."""
    stage.worker()
    stage.send("progress", 4)


def workflow_chain(stage: Stage) -> None:
    """A chain of three, and one that breaks in the middle."""
    stage.worker()
    result = chain(stage.task("add", 1, 1), stage.task("add", 2), stage.task("add", 3)).apply_async()
    while result is not None:
        stage.keep(result)
        result = result.parent
    result = chain(stage.task("add", 1, 1), stage.task("fail"), stage.task("add", 3)).apply_async()
    stage.keep(result.parent, "FAILURE")
    stage.keep(result.parent.parent)


def workflow_group(stage: Stage) -> None:
    """A group of four."""
    stage.worker()
    for result in group(stage.task("add", number, 1) for number in range(4)).apply_async().results:
        stage.keep(result)


def workflow_chord(stage: Stage) -> None:
    """A chord: three tasks and one for their results."""
    stage.worker()
    result = chord([stage.task("add", number, 1) for number in range(3)])(stage.task("total"))
    stage.keep(result)
    for member in result.parent.results:
        stage.keep(member)


def threads(stage: Stage) -> None:
    """A pool of threads."""
    stage.worker(pool="threads")
    _some_of_each(stage)


def solo(stage: Stage) -> None:
    """A solo pool, which is mute while it works."""
    stage.worker(pool="solo", slots=1)
    stage.send("timed", 3)
    _some_of_each(stage)


def two_workers(stage: Stage) -> None:
    """Two workers that share what comes."""
    stage.worker("w1")
    stage.worker("w2")
    for _ in range(3):
        _some_of_each(stage)


def burst(stage: Stage) -> None:
    """Thirty tasks at once."""
    stage.worker(slots=4)
    for number in range(30):
        stage.send("add", number, 1)


def elsewhere(stage: Stage) -> None:
    """A worker whose clock shows New York's time."""
    stage.worker(environment={"TZ": "America/New_York"})
    _some_of_each(stage)
    stage.send("add", 1, 1, countdown=1)


def unannounced(stage: Stage) -> None:
    """Tasks whose producer sends no events."""
    stage.app.conf.task_send_sent_event = False
    stage.worker()
    _some_of_each(stage)


def switched_on(stage: Stage) -> None:
    """A worker without events, switched on while a task of it runs: its start was never told."""
    stage.worker("w1", "--loglevel", "INFO", slots=1)
    stage.until(stage.send("add", 1, 1, end="PENDING"), "task-sent")
    running = stage.send("outlast", "enough")
    stage.until_running(running)
    stage.app.control.enable_events(reply=True, timeout=5, limit=1)
    stage.mark("enough")
    stage.until(running, "task-succeeded")
    stage.send("add", 1, 2)


def _some_of_each(stage: Stage) -> None:
    stage.send("add", 1, 1)
    stage.send("fail", "no such order", end="FAILURE")
    stage.send("flaky", 1, 0.1)
    stage.send("timed", 0.05)


SCENES: Final[tuple[Callable[[Stage], None], ...]] = (
    success, failure, retry, hopeless, eta, expired, revoked, terminated, rejected, requeued, ignored, time_limits,
    worker_lost, worker_killed, redelivered, cancelled, twice, restarted, progress, workflow_chain, workflow_group,
    workflow_chord, threads, solo, two_workers, burst, elsewhere, unannounced, switched_on,
)  # fmt: skip


# --- the recorder ----------------------------------------------------------------------------------------------------


def record(names: Sequence[str]) -> None:
    """Play the scenes of these names, or all, and write what was heard."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for scene in SCENES:
        name = scene.__name__.replace("_", "-")
        if not names or name in names:
            text = _neutral(_play(name, scene))
            (FOLDER / f"{name}.jsonl").write_text(text, encoding="utf-8")
            sys.stdout.write(f"{name}: {text.count(chr(10)) - 1} events, {len(text):,} bytes\n")


def _play(name: str, scene: Callable[[Stage], None]) -> str:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as at_end:
        server = at_end.enter_context(RedisServer())
        witness = at_end.enter_context(Witness(server.url))
        stage = Stage(server, witness, Path(folder), at_end)
        scene(stage)
        stage.close()
        said = stage.client.info("server")
        told = About(name, (scene.__doc__ or "").strip(), _versions(str(said["redis_version"])), stage.ends)
        lines = [json.dumps({**event, "seen": seen}) for event, seen in zip(witness.events, witness.times, strict=True)]
    return "\n".join([msgspec.json.encode(told).decode(), *lines, ""])


def _versions(redis: str) -> dict[str, str]:
    packages = {package: version(package) for package in ("celery", "kombu", "billiard", "redis")}
    return {**packages, "redis-server": redis, "python": platform.python_version()}


def _neutral(text: str) -> str:
    """Without the names and places of the machine it was recorded on."""
    for own, neutral in (
        (str(ROOT), "/srv/shop"),
        (sys.prefix, "/srv/shop/.venv"),
        (sys.base_prefix, "/usr"),
        (f"@{socket.gethostname()}", "@producer"),
    ):
        text = text.replace(own, neutral)
    return text
