"""A stream of lifelike task events for benchmarks, made beforehand and published to a Redis on this machine."""

import argparse
import base64
import json
import sys
import time
import uuid
from collections.abc import Iterator

import redis

NAMES = 200
WORKERS = 10
EVENTS_PER_TASK = 3


def events(tasks: int) -> Iterator[dict[str, object]]:
    """Received, started and ended of each task; every fiftieth fails."""
    for number in range(tasks):
        common = {"hostname": f"celery@worker-{number % WORKERS}", "pid": 100, "utcoffset": 0, "clock": number}
        common |= {"uuid": str(uuid.uuid4())}
        yield common | {
            "type": "task-received",
            "name": f"shop.tasks.job_{number % NAMES}",
            "args": f"({number}, 'customer-{number}')",
            "kwargs": "{'priority': 'high', 'retry': False}",
            "root_id": common["uuid"],
            "parent_id": None,
            "retries": 0,
            "eta": None,
            "expires": None,
        }
        yield common | {"type": "task-started"}
        if number % 50:
            yield common | {
                "type": "task-succeeded",
                "result": f"{{'status': 'ok', 'id': {number}}}",
                "runtime": 0.0123,
            }
        else:
            trace = "Traceback (most recent call last):\n  ...\nValueError: no such order\n"
            yield common | {"type": "task-failed", "exception": "ValueError('no such order')", "traceback": trace}


def message(body: object) -> bytes:
    """kombu's envelope around an event, or around a list of them."""
    envelope = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"hostname": "celery@worker-0"},
        "properties": {
            "delivery_mode": 1,
            "delivery_info": {"exchange": "celeryev", "routing_key": "task.multi"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    return json.dumps(envelope).encode()


def publish_all(url: str, tasks: int, batch: int) -> float:
    """Publish all events as fast as the broker takes them; seconds it took."""
    stream = list(events(tasks))
    now = time.time()
    for event in stream:
        event["timestamp"] = now
    bodies = [stream[at : at + batch] for at in range(0, len(stream), batch)] if batch > 1 else stream
    messages = [message(body) for body in bodies]
    client = redis.Redis.from_url(url)
    began = time.perf_counter()
    for at in range(0, len(messages), 200):
        pipeline = client.pipeline(transaction=False)
        for payload in messages[at : at + 200]:
            pipeline.publish("/0.celeryev/task.multi", payload)
        pipeline.execute()
    return time.perf_counter() - began


def publish_steadily(url: str, rate: float, seconds: float) -> int:
    """Publish so many events a second, each stamped when it is sent; how many there were."""
    client = redis.Redis.from_url(url)
    stream = events(int(rate * seconds / EVENTS_PER_TASK))
    began = time.perf_counter()
    sent = 0
    for event in stream:
        # Paced by the clock of the load itself: ahead of it, wait.
        ahead = began + sent / rate - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
        event["timestamp"] = time.time()
        client.publish("/0.celeryev/task.multi", message(event))
        sent += 1
    return sent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--tasks", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    if given.rate:
        json.dump({"sent": publish_steadily(given.url, given.rate, given.seconds)}, sys.stdout)
    else:
        json.dump({"seconds": publish_all(given.url, given.tasks, given.batch)}, sys.stdout)
