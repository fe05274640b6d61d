"""A Celery application whose tasks write down what they were really called with; also run as its worker.

    python tests/helpers/echoes.py BROKER MARKS worker --queues …
    python tests/helpers/echoes.py BROKER MARKS send QUEUE

It knows nothing of ours, and runs with Celery 5.2 and later. Marks are kept in a Redis, wherever the broker is: what a
task got is in the list ``got.<id>``, once for each time that it ran.
"""

import json
import math
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from celery import Celery, chain, chord, group
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
        client.rpush("all", json.dumps({**told, "task": task.name}, default=str))

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


def send(app: Celery, queue: str) -> dict[str, str]:
    """Send tasks with all that a message may carry; their ids, by what they carry."""
    echo, fail = app.tasks["echo.echo"], app.tasks["echo.fail"]
    args, kwargs = [1, "two", {"three": [3.5, None]}], {"four": "żółć"}
    carried: dict[str, dict[str, Any]] = {
        "nothing": {},
        "priority": {"priority": 6},
        "limits": {"time_limit": 50, "soft_time_limit": 40},
        "expiry": {"expires": 3_000},
        "expiry at": {"expires": datetime.now(UTC) + timedelta(seconds=3_000)},
        "eta": {"countdown": 3_000},
        "shadow": {"shadow": "another.name"},
        "header": {"headers": {"mine": "yes"}},
        "ignored": {"ignore_result": True},
        "gzip": {"compression": "gzip"},
        "bzip2": {"compression": "bzip2"},
        "pickle": {"serializer": "pickle"},
        "pickled gzip": {"serializer": "pickle", "compression": "gzip"},
        "link": {"link": echo.si("linked")},
    }
    if hasattr(echo.s(), "stamp"):  # since 5.3
        carried["stamps"] = {"stamped_headers": ["customer"], "customer": "7"}
    ids = {name: echo.apply_async(args, kwargs, queue=queue, **options).id for name, options in carried.items()}
    ids["link_error"] = fail.apply_async(args, kwargs, queue=queue, link_error=echo.si("error linked")).id
    steps = chain(echo.si(*args, **kwargs).set(queue=queue), echo.si("second"), echo.si("third"))()
    ids["chain"] = steps.parent.parent.id
    members = group([echo.si(*args, **kwargs).set(queue=queue), echo.si(0).set(queue="never")])()
    ids["group"] = members.results[0].id
    header = [echo.si(*args, **kwargs).set(queue=queue), echo.si(0).set(queue="never")]
    ids["chord"] = chord(header)(echo.si("body")).parent.results[0].id
    older = Celery("old", broker=app.conf.broker_url, set_as_current=False)
    older.conf.update(task_protocol=1, task_routes={})
    of_protocol_1: dict[str, dict[str, Any]] = {
        "old": {},
        "old priority": {"priority": 6},
        "old limits": {"time_limit": 50, "soft_time_limit": 40},
        "old expiry": {"expires": 3_000},
        "old gzip": {"compression": "gzip"},
        "old link": {"link": echo.si("old linked")},
        "old pickle": {"serializer": "pickle"},
    }
    for name, options in of_protocol_1.items():
        ids[name] = older.send_task("echo.echo", args, kwargs, queue=queue, **options).id
    pickled = [echo.si(*args, **kwargs).set(queue=queue, serializer="pickle"), echo.si(0).set(queue="never")]
    ids["pickled group"] = group(pickled)().results[0].id
    return ids


def main() -> None:
    broker, marks, *words = sys.argv[1:]
    app = make_app(broker, marks, **json.loads(os.environ.get(SETTINGS, "{}")))
    if words[0] == "send":
        sys.stdout.write(json.dumps(send(app, words[1])))
    else:
        app.worker_main(words)


if __name__ == "__main__":
    main()
