"""Workers on Redis that are none: a process of its own in which many answer as kombu does, or badly.

It is started as ``python -m tests.helpers.fake_workers URL JSON``, and ends with its standard input.
"""

import base64
import json
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from redis import Redis

from tests.helpers.celery_apps import ROOT
from tests.helpers.waiting import eventually

CONTROL: Final = "/0.celery.pidbox"
_STRANGER: Final = "stranger{number}@nowhere"


class Manners(msgspec.Struct):
    """How they answer: ``drip`` seconds one after the other; who is ``silent`` does not.

    Before a real answer come so many ``forged`` ones, of another question and of strangers who know the ticket; and it
    comes ``again`` so many times. What is answered to a command is what it ``says``, one after the other, of which the
    last stays; else it is that it was done.
    """

    names: list[str]
    drip: float = 0.0
    silent: list[str] = []
    forged: int = 0
    again: int = 0
    says: dict[str, list[Any]] = {}


def named(number: int) -> list[str]:
    """So many names."""
    return [f"w{each}@fake" for each in range(number)]


@contextmanager
def fake_workers(url: str, manners: Manners) -> Iterator[None]:
    """They listen for as long as the context lasts."""
    command = [sys.executable, "-m", __name__, url, msgspec.json.encode(manners).decode()]
    with (
        Redis.from_url(url) as client,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as process,
    ):
        wanted = len(manners.names)
        eventually(lambda: client.pubsub_numsub(CONTROL)[0][1] == wanted, "the fake workers", within=60)
        try:
            yield
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.kill()


class _Crowd:
    def __init__(self, url: str, manners: Manners) -> None:
        self._manners = manners
        self._client = Redis.from_url(url, max_connections=len(manners.names) + 1)
        self._selector = selectors.DefaultSelector()
        for name in manners.names:
            heard = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
            heard.subscribe(CONTROL)
            heard.get_message(timeout=5)
            self._selector.register(heard.connection._sock, selectors.EVENT_READ, (name, heard))
        self._selector.register(sys.stdin, selectors.EVENT_READ)

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                name, heard = key.data
                message = heard.get_message(timeout=0)
                if message is not None:
                    self._answer(name, json.loads(base64.b64decode(json.loads(message["data"])["body"])))

    def _answer(self, name: str, asked: dict[str, Any]) -> None:
        manners, reply_to = self._manners, asked.get("reply_to")
        if reply_to is None or name in manners.silent or (asked["destination"] and name not in asked["destination"]):
            return
        time.sleep(manners.drip)
        place = reply_to["routing_key"]
        for start in range(0, manners.forged, 1_000):
            numbers = range(start, min(start + 1_000, manners.forged))
            self._client.lpush(place, *(_forged(number, name, asked["ticket"]) for number in numbers))
        says = manners.says.get(asked["method"], [{"ok": asked["method"]}])
        real = _reply(name, says.pop(0) if len(says) > 1 else says[0], asked["ticket"])
        for _ in range(1 + manners.again):
            self._client.lpush(place, real)


def _forged(number: int, name: str, ticket: str) -> str:
    if number % 2:
        return _reply(name, {"ok": "forged"}, "another ticket")
    return _reply(_STRANGER.format(number=number), {"ok": "forged"}, ticket)


def _reply(name: str, value: object, ticket: str) -> str:
    """An answer in kombu's envelope."""
    body = base64.b64encode(json.dumps({name: value}).encode()).decode()
    return json.dumps(
        {
            "body": body, "content-encoding": "utf-8", "content-type": "application/json",
            "headers": {"ticket": ticket, "clock": 3},
            "properties": {"delivery_mode": 1, "priority": 0, "body_encoding": "base64"},
        }
    )  # fmt: skip


def main(words: Sequence[str]) -> None:
    """Answer until told to end."""
    _Crowd(words[0], msgspec.json.decode(words[1], type=Manners)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
