"""What the five demo systems share: how an app is set up, and how a system describes its processes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from celery import Celery, Task


@dataclass(frozen=True, slots=True)
class Outage:
    """When a worker is killed as if its host were lost: seconds until the first time, between times, and of absence."""

    first: float
    every: float
    away: float


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One worker: its node name, the queues it consumes, its pool and what befalls it."""

    node: str
    queues: tuple[str, ...]
    slots: int = 1
    pool: str = "prefork"
    tasks_per_child: int | None = None
    outage: Outage | None = None


@dataclass(frozen=True, slots=True)
class System:
    """One demo system; `build` makes its app for a broker URL, `produce` sends its work until the process ends."""

    name: str
    broker: str
    build: Callable[[str], Celery]
    produce: Callable[[Celery], NoReturn]
    workers: tuple[WorkerPlan, ...]
    beat: bool = False


def make_app(name: str, url: str, *, routes: Mapping[str, str], **settings: object) -> Celery:
    """A Celery app with broker and results at `url`; `routes` maps task patterns to queues, the last the default."""
    app = Celery(name, broker=url, backend=url, set_as_current=False)
    app.conf.update(
        task_send_sent_event=True,
        worker_send_task_events=True,
        task_serializer="json",
        result_serializer="json",
        event_serializer="json",
        accept_content=["json"],
        result_extended=True,
        result_expires=600,
        task_routes={pattern: {"queue": queue} for pattern, queue in routes.items()},
        task_default_queue=list(routes.values())[-1],
        broker_connection_retry_on_startup=True,
        # A start of the whole fleet on two slow cores can keep a pool's child from reporting within the usual 4 s.
        worker_proc_alive_timeout=30.0,
        worker_redirect_stdouts=False,
        **settings,
    )
    return app


def define(app: Celery, name: str, run: Callable[..., object], **options: object) -> None:
    """Make `run` the task `name` of `app` and of no other app; with the option `bind` it is given the task first."""
    app.task(run, name=name, shared=False, **options)


def send(
    source: Celery | Task, name: str, *args: object, options: Mapping[str, object] | None = None, **kwargs: object
) -> str:
    """Send a task by name, from a producer's app or from within a task, and return its id."""
    app = source.app if isinstance(source, Task) else source
    return str(app.send_task(name, args=args, kwargs=kwargs, **(options or {})).id)
