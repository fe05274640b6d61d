"""A Celery application whose tasks write down what they were really called with; also run as its worker.

    python tests/helpers/echoes.py BROKER MARKS worker --queues …

It knows nothing of ours, and runs with Celery 5.2 and later. Marks are kept in a Redis, wherever the broker is: what a
task got is in the list ``got.<id>``, once for each time that it ran.
"""

import json
import math
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from celery import Celery
from redis import Redis

SETTINGS: Final = "ECHO_SETTINGS"
"""A variable of the environment with settings of the worker's own, as JSON."""


def make_app(broker: str, marks: str, **settings: Any) -> Celery:  # noqa: C901 - its tasks are in it
    app = Celery("echo", broker=broker, set_as_current=False)
    app.conf.update(
        task_send_sent_event=True, broker_connection_retry_on_startup=True, worker_hijack_root_logger=True,
        task_routes={}, result_extended=True, **settings,
    )  # fmt: skip
    client: Redis = Redis.from_url(marks)

    def write(task: Any, args: Any, kwargs: Any) -> None:
        request = task.request
        told = {
            "args": canonical(list(args)),
            "kwargs": canonical(kwargs),
            **{key: request.get(key) for key in ("id", "root_id", "parent_id", "retries", "expires", "timelimit")},
            **{
                key: request.get(key)
                for key in ("retried_from", "shadow", "group", "stamped_headers", "stamps", "mine")
            },
            "priority": (request.delivery_info or {}).get("priority"),
            "routing_key": (request.delivery_info or {}).get("routing_key"),
        }
        client.rpush(f"got.{request.id}", json.dumps(told, default=str))

    def echo(task: Any, *args: Any, **kwargs: Any) -> None:
        write(task, args, kwargs)

    def fail(task: Any, *args: Any, **kwargs: Any) -> None:
        write(task, args, kwargs)
        raise ValueError("as it was told to")

    def change(task: Any, *args: Any, **kwargs: Any) -> None:
        """Write down what it got, and then change it as far as that is possible."""
        write(task, args, kwargs)
        for value in (*args, *kwargs.values()):
            if isinstance(value, list):
                value.append("changed")
            elif isinstance(value, dict):
                value["changed"] = True

    def hold(task: Any, *args: Any, **kwargs: Any) -> None:
        """Write down what it got, and run until told not to."""
        write(task, args, kwargs)
        while not client.exists("release"):
            time.sleep(0.05)

    for function in (echo, fail, change, hold):
        app.task(function, name=f"echo.{function.__name__}", bind=True, shared=False)
    return app


def canonical(value: Any) -> str:
    """A text that is the same for the same value of the same type, and for no other."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{canonical(key)}: {canonical(each)}" for key, each in value.items())
        return f"{type(value).__name__}{{{inside}}}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}[{', '.join(map(canonical, value))}]"
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}({', '.join(sorted(map(canonical, value)))})"
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return f"{type(value).__name__}:{value!a}"


class Money:
    """What only pickle can send."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __repr__(self) -> str:
        return f"Money({self.amount})"


def main() -> None:
    broker, marks, *words = sys.argv[1:]
    make_app(broker, marks, **json.loads(os.environ.get(SETTINGS, "{}"))).worker_main(words)


if __name__ == "__main__":
    main()
