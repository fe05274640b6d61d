"""What each process of the fleet does once it was forked: a worker, a beat, or a producer."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from celery import Celery, beat

from app.demo.systems.common import Outage, System, WorkerPlan


@dataclass(frozen=True, slots=True)
class Role:
    """One process: `run` is called in it and returns only when the process has nothing left to do."""

    name: str
    run: Callable[[], object]
    outage: Outage | None = None


def roles_of(system: System, url: str) -> Iterator[Role]:
    """The processes of a system whose broker is at `url`; they share one app, whose memory a fork does not copy."""
    app = system.build(url)
    app.finalize()
    for plan in system.workers:
        yield Role(plan.node, partial(run_worker, app, plan), plan.outage)
    if system.beat:
        yield Role(f"beat@{system.name}", partial(run_beat, app))
    # Last, because workers need longer to start.
    yield Role(f"producer@{system.name}", partial(system.produce, app))


def run_worker(app: Celery, plan: WorkerPlan) -> None:
    """A real worker, until it is killed."""
    worker = app.Worker(
        hostname=plan.node,
        queues=list(plan.queues),
        pool=plan.pool,
        concurrency=plan.slots,
        max_tasks_per_child=plan.tasks_per_child,
        loglevel=logging.CRITICAL,
        quiet=True,
        # Both ask the neighbours at the start, for a second, and gossip makes every worker read all heartbeats.
        without_mingle=True,
        without_gossip=True,
    )
    # Celery's handlers wait for running tasks and start the program anew on SIGHUP; ours is to die at once.
    worker.install_platform_tweaks = ignore
    worker.start()


def run_beat(app: Celery) -> None:
    """A real beat, until it is killed; its schedule stays in memory, so there is no file to clean up."""
    beat.Service(app, scheduler_cls="celery.beat:Scheduler").start()


def ignore(worker: object) -> None:
    """Take the place of a step that must not happen."""
