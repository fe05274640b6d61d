"""A Celery app whose tasks end in every way a task can, its workers as child processes, and what their logs say.

The worker processes are started as ``python -m tests.helpers.celery_apps URL worker …``.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

import psutil
from celery import Celery
from celery.backends.redis import RedisBackend
from celery.exceptions import Ignore, Reject
from redis import Redis

ROOT: Final = Path(__file__).parents[2]
SETTINGS: Final = "TRUTH_SETTINGS"
"""A variable of the environment with settings of the worker's own, as JSON."""
LATER: Final = "later"
"""A queue that no worker consumes before it is told to."""

_SUCCEEDED: Final = re.compile(r"Task (\S+)\[([^\]]+)\] succeeded in ([0-9.e+-]+)s:")


class QuietBackend(RedisBackend):  # type: ignore[misc]
    """Results in Redis. Nobody waits for one in the process that sends, so nothing is subscribed to."""

    class ResultConsumer(RedisBackend.ResultConsumer):  # type: ignore[misc]
        """Celery's would subscribe for each task, and unsubscribe when the garbage collector comes by."""

        def consume_from(self, task_id: str) -> None: ...


def make_app(url: str) -> Celery:
    """The app for a broker. On Redis (without password), results and marks are in database 1; elsewhere are none."""
    on_redis = url.startswith("redis://")
    backend = f"tests.helpers.celery_apps:QuietBackend+{_other_database(url)}" if on_redis else "disabled://"
    app = Celery("truth", broker=url, backend=backend, set_as_current=False)
    app.conf.update(
        task_send_sent_event=True,
        result_extended=True,
        worker_hijack_root_logger=True,
        broker_connection_retry_on_startup=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        task_acks_late=False,
        result_expires=3600,
    )
    for name, function, options in _TASKS:
        app.task(function, name=f"truth.{name}", shared=False, **options)
    return app


def marks(url: str) -> "Redis":
    """Where tasks leave marks that a test can wait for."""
    return Redis.from_url(_other_database(url))


# --- the tasks; those with `task` first are bound ------------------------------------------------------------------


def _add(x: int, y: int) -> int:
    return x + y


def _timed(seconds: float) -> dict[str, float]:
    """Work so long, and say how long it took as seen from inside."""
    began = time.perf_counter()
    time.sleep(seconds)
    return {"ran": time.perf_counter() - began}


def _total(numbers: Sequence[int]) -> int:
    return sum(numbers)


def _fail(why: str) -> NoReturn:
    raise ValueError(why)


def _flaky(task: Any, times: int, countdown: float) -> int:
    """Fail so many times and then return."""
    if task.request.retries < times:
        raise task.retry(countdown=countdown, exc=ConnectionError(f"attempt {task.request.retries}"), max_retries=9)
    return int(task.request.retries)


def _hopeless(task: Any) -> NoReturn:
    """Fail twice more than it may be retried."""
    raise task.retry(countdown=0, exc=TimeoutError("nothing"), max_retries=2)


def _progress(task: Any, steps: int) -> int:
    for step in range(steps):
        task.send_event("task-progress", current=step + 1, total=steps)
    return steps


def _reject(_why: str) -> NoReturn:
    raise Reject("not mine", requeue=False)


def _requeue(task: Any) -> str:
    """Refuse the message the first time it is delivered, and take it the second time."""
    if task.app.backend.client.incr(f"seen.{task.request.id}") == 1:
        raise Reject("not now", requeue=True)
    return "taken"


def _ignore(task: Any) -> NoReturn:
    task.app.backend.client.set(f"ignored.{task.request.id}", "1")
    raise Ignore


def _wait(task: Any) -> NoReturn:
    """Run until killed."""
    task.app.backend.client.set(f"running.{task.request.id}", "1")
    while True:
        time.sleep(0.05)


def _die() -> NoReturn:
    """Take the pool process along."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _die_once(task: Any) -> str:
    """Take the pool process along when first delivered."""
    if task.app.backend.client.incr(f"seen.{task.request.id}") == 1:
        _die()
    return "survived"


def _wait_once(task: Any) -> str:
    """Run until killed when first delivered."""
    if task.app.backend.client.incr(f"seen.{task.request.id}") == 1:
        _wait(task)
    return "taken over"


def _outlast(task: Any, until: str) -> str:
    """Run until a mark is there."""
    task.app.backend.client.set(f"running.{task.request.id}", "1")
    while not task.app.backend.client.exists(until):
        time.sleep(0.05)
    return until


def _unsendable() -> object:
    """Return what no serialiser takes."""
    return object()


_TASKS: Final[tuple[tuple[str, Callable[..., Any], dict[str, Any]], ...]] = (
    ("add", _add, {}),
    ("timed", _timed, {}),
    ("total", _total, {}),
    ("fail", _fail, {}),
    ("flaky", _flaky, {"bind": True}),
    ("hopeless", _hopeless, {"bind": True}),
    ("progress", _progress, {"bind": True}),
    ("reject", _reject, {"acks_late": True}),
    ("requeue", _requeue, {"bind": True, "acks_late": True}),
    ("ignore", _ignore, {"bind": True}),
    ("wait", _wait, {"bind": True}),
    ("overdue", _wait, {"bind": True, "time_limit": 1}),
    ("die", _die, {}),
    ("die_once", _die_once, {"bind": True, "acks_late": True, "reject_on_worker_lost": True}),
    ("wait_once", _wait_once, {"bind": True, "acks_late": True}),
    ("outlast", _outlast, {"bind": True}),
    ("outlast_late", _outlast, {"bind": True, "acks_late": True}),
    ("overdue_softly", _wait, {"bind": True, "soft_time_limit": 1}),
    ("unsendable", _unsendable, {}),
)


# --- its workers -----------------------------------------------------------------------------------------------------


class WorkerProcess:
    """One ``celery worker``: a process group of its own, and a log that outlives it.

    ``environment`` is what it gets besides ours.
    """

    def __init__(
        self,
        url: str,
        name: str,
        log: Path,
        *options: str,
        pool: str = "prefork",
        slots: int = 2,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.hostname = f"{name}@test"
        self.log = log
        command = [sys.executable, "-m", __name__, url, "worker", "--hostname", self.hostname, "--loglevel", "INFO"]
        command += ["--pool", pool, "--concurrency", str(slots), *options]
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    @property
    def lines(self) -> list[str]:
        """What it has logged."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()

    def runtimes(self) -> dict[str, float]:
        """The run time that it measured itself of each task that returned, by id."""
        return {match[2]: float(match[3]) for line in self.lines if (match := _SUCCEEDED.search(line))}

    def ask_to_end(self) -> None:
        """A warm shutdown: it finishes what runs and says goodbye."""
        self.process.terminate()

    def wait(self, seconds: float = 30.0) -> None:
        """Until it ended."""
        self.process.wait(seconds)

    def kill(self) -> None:
        """End it and its pool at once, as a power cut would."""
        for child in _children(self.process.pid):
            child.kill()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def worker(
    url: str,
    name: str,
    log: Path,
    *options: str,
    pool: str = "prefork",
    slots: int = 2,
    environment: Mapping[str, str] | None = None,
) -> Iterator[WorkerProcess]:
    """A worker for as long as the context lasts. It is starting when the context begins."""
    process = WorkerProcess(url, name, log, *options, pool=pool, slots=slots, environment=environment)
    try:
        yield process
    finally:
        process.kill()


def soon(seconds: float) -> datetime:
    """A moment in the future, as Celery takes it for an ETA or an expiry."""
    return datetime.fromtimestamp(time.time() + seconds, UTC)


def _other_database(url: str) -> str:
    return f"{url.rpartition('/')[0]}/1"


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


if __name__ == "__main__":
    app = make_app(sys.argv[1])
    app.conf.update(json.loads(os.environ.get(SETTINGS, "{}")))
    app.worker_main(sys.argv[2:])
