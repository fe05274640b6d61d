"""What the tests of the demo look at: processes by the mark in their environment, ports, and events on the wire."""

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import psutil
import redis

MARK = "CLOCHE_DEMO_TEST"
Event = dict[str, Any]


def eventually(fact: Callable[[], object], seconds: float = 10.0) -> bool:
    """Whether a fact comes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def family(mark: str) -> list[psutil.Process]:
    """The living processes that were started with this mark in their environment, and their descendants."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:  # it ended while we looked, or it is somebody else's
            continue
    return found


def listens(port: int) -> bool:
    """Whether somebody accepts connections on this port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def events(urls: Sequence[str], seconds: float) -> Iterator[Event]:
    """The events of all Celery apps on these brokers, as they come, for so many seconds."""
    deadline = time.monotonic() + seconds
    with ExitStack() as closing:
        channels = []
        for url in urls:
            client = closing.enter_context(redis.Redis.from_url(url))
            channel = closing.enter_context(client.pubsub(ignore_subscribe_messages=True))
            channel.psubscribe("/0.celeryev*")
            channels.append(channel)
        while time.monotonic() < deadline:
            for channel in channels:
                message = channel.get_message(timeout=0.02)
                if message:
                    yield from decoded(message["data"])


def decoded(data: bytes) -> list[Event]:
    """The events in one message: Celery sends one, or a list of them."""
    body = json.loads(base64.b64decode(json.loads(data)["body"]))
    return body if isinstance(body, list) else [body]
