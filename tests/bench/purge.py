"""A02: a queue is purged and restored while others use the broker: each message is back, to the byte and in order.

One process sends messages at four priorities all the while, another takes some, and a third asks for a sign of life
every millisecond, which tells how long everybody had to wait. Two queues are restored: one whose newcomers were taken
by workers, and one into which thousands came since, in pieces.
"""

import json
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from redis import Redis

from app.collectors.transport import PRIORITY_STEPS
from app.models.acts import Outcome, Purge, Restore, Wish
from tests.bench import machine
from tests.bench.queues import Pings
from tests.helpers.acting import Actor, execute
from tests.helpers.messages import key_of

QUEUE: Final = "mail"
#: Seconds between two signs of life; and how many times as many messages are taken as are sent.
PING_PAUSE: Final = 0.001
TAKEN: Final = 2.0
#: What a message is, by its number; the same in Lua and in Python.
_HEAD: Final = '{"body":"W1tdLHt9LHt9XQ==","content-type":"application/json","headers":{"id":"00000000-0000-4000-8000-'
_TAIL: Final = (
    '","task":"shop.mail","argsrepr":"()","kwargsrepr":"{}"},"properties":{"body_encoding":"base64","priority":0,'
    '"delivery_info":{"exchange":"","routing_key":"mail"}}}'
)
_FILL: Final = """
for number = ARGV[1], ARGV[2] - 1 do
    redis.call('lpush', KEYS[number % #KEYS + 1], ARGV[3] .. string.format('%012d', number) .. ARGV[4])
end
"""
_CHUNK: Final = 50_000
_KEYS: Final = [key_of(QUEUE, step) for step in PRIORITY_STEPS]


class WrongMessages(Exception):
    """What was restored is not what was purged."""


def raw_of(number: int) -> bytes:
    """The message with a number; its priority is by turns."""
    return f"{_HEAD}{number:012d}{_TAIL}".encode()


def measure(messages: int, rate: float, seconds: float) -> dict[str, Any]:
    """Figures of both. Raises `WrongMessages` where one message is missing, doubled, changed or out of order."""
    options = ("--slowlog-log-slower-than", "0", "--slowlog-max-len", "1000000")
    with machine.redis(*options) as broker, Redis.from_url(broker.url) as client:
        return {
            "server": machine.server_version(broker),
            "messages": messages,
            "newcomers taken": _run(broker.url, client, messages, rate, seconds, taking=True),
            "newcomers wait": _run(broker.url, client, messages, rate, seconds, taking=False),
        }


def _run(url: str, client: Redis, messages: int, rate: float, seconds: float, *, taking: bool) -> dict[str, Any]:
    """``taking`` is whether newcomers are taken while the queue is in quarantine, and while it is restored."""
    client.flushall()
    script = client.register_script(_FILL)
    for start in range(0, messages, _CHUNK):
        script(keys=_KEYS, args=[start, min(messages, start + _CHUNK), _HEAD, _TAIL])
    figures: dict[str, Any] = {}
    taken: list[int] = []
    with tempfile.TemporaryDirectory() as folder, Pings(url, PING_PAUSE) as pings:
        actor = Actor(url, Path(folder))
        pings.take()
        time.sleep(seconds)
        figures["alone"] = {"ping_of_others_ms": pings.take()}
        with _traffic(url, "send", rate, messages) as sending:
            with _traffic(url, "take", TAKEN * rate) as before:
                time.sleep(seconds)
                if not taking:
                    taken += _end(before)
                purged = _act(actor, Purge(QUEUE), pings, client, figures)
                quarantine = Restore(purged.undo.quarantine) if isinstance(purged.undo, Restore) else None
                if quarantine is None:
                    raise WrongMessages(f"Nothing was purged: {purged.text}")
                time.sleep(seconds)
                figures["newcomers"] = sum(client.llen(key) for key in _KEYS)
                restored = _act(actor, quarantine, pings, client, figures)
                if taking:
                    taken += _end(before)
            with _traffic(url, "take", TAKEN * rate) as after:
                time.sleep(seconds)
                taken += _end(after)
            (sent,) = _end(sending)
    if restored.done != purged.done:
        raise WrongMessages(f"{purged.done} messages were purged, and {restored.done} restored.")
    figures |= {"purged": purged.done, "sent meanwhile": sent - messages, "taken": len(taken)}
    _check(client, taken, sent)
    return figures


def _act(actor: Actor, wish: Wish, pings: Pings, client: Redis, figures: dict[str, Any]) -> Outcome:
    client.slowlog_reset()  # which takes long enough to be noticed
    pings.take()
    prepared = actor.prepare(wish)
    planning, began = pings.take(), time.monotonic()
    outcome = execute(prepared)
    took, signs = time.monotonic() - began, pings.take()
    ours = [entry for entry in client.slowlog_get(1_000_000) if entry["client_name"].startswith(b"cloche")]
    scripts = [int(entry["duration"]) / 1e6 for entry in ours if entry["command"].startswith(b"EVAL")]
    if outcome.state != "done":
        raise WrongMessages(outcome.text)
    figures[type(wish).__name__.lower()] = {
        "seconds": round(took, 3),
        "scripts": len(scripts),
        "script_ms": machine.spread(scripts),
        "slowest_command_ms": max((int(entry["duration"]) for entry in ours), default=0) / 1_000,
        "ping_of_others_ms": signs,
        "ping_of_others_while_planned_ms": planning,
    }
    return outcome


def _check(client: Redis, taken: Sequence[int], sent: int) -> None:
    """Whether each message that was sent was taken or waits, as it was, and where it belongs."""
    seen = bytearray(sent)
    turns = [0] * len(_KEYS)
    latest = [-1] * len(_KEYS)
    for number in taken:
        seen[number] += 1
        at = number % len(_KEYS)
        turns[at] += number < latest[at]
        latest[at] = number
    # What was purged is taken after what came while it was away: once, the numbers begin anew.
    if max(turns) > 1:
        raise WrongMessages("Messages were taken out of their order.")
    for at, key in enumerate(_KEYS):
        last = -1
        for start in range(0, client.llen(key), _CHUNK):
            for raw in client.lrange(key, -start - _CHUNK, -start - 1)[::-1]:
                number = int(raw[len(_HEAD) : len(_HEAD) + 12])
                if raw != raw_of(number) or number % len(_KEYS) != at or number <= last:
                    raise WrongMessages(f"Message {number} was changed, or is not in its place.")
                last = number
                seen[number] += 1
    if seen.count(1) != sent:
        raise WrongMessages(
            f"Of {sent} messages {seen.count(0)} are lost, and {sent - seen.count(0) - seen.count(1)} doubled."
        )


# --- others who use the broker ---------------------------------------------------------------------------------------


@contextmanager
def _traffic(url: str, what: Literal["send", "take"], rate: float, first: int = 0) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.bench.purge", url, what, str(rate), str(first)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise WrongMessages("Nobody uses the broker; the words of who should are above.")
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _end(process: subprocess.Popen[str]) -> list[int]:
    """End it, and learn what it sent or took."""
    said, _ = process.communicate("\n")
    numbers: list[int] = json.loads(said)
    return numbers


def _send(client: Redis, rate: float, number: int) -> list[int]:
    """The number behind the last one that was sent."""
    began, first = time.monotonic(), number
    while not select.select([sys.stdin], [], [], 0.005)[0]:
        sending = client.pipeline(transaction=False)
        while number - first < (time.monotonic() - began) * rate:
            sending.lpush(_KEYS[number % len(_KEYS)], raw_of(number))
            number += 1
        sending.execute()
    return [number]


def _take(client: Redis, rate: float) -> list[int]:
    """The numbers of what was taken, as kombu takes it: by priority, and the oldest first."""
    taken: list[int] = []
    began = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, len(taken) / rate - (time.monotonic() - began)))[0]:
        told = client.brpop(_KEYS, timeout=0.01)
        if told is not None:
            number = int(told[1][len(_HEAD) : len(_HEAD) + 12])
            if told[1] != raw_of(number):
                raise WrongMessages(f"Message {number} was changed.")
            taken.append(number)
    return taken


def main(url: str, what: str, rate: str, first: str) -> None:
    """Send or take until told to end, and tell which."""
    with Redis.from_url(url) as client:
        client.ping()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        done = _send(client, float(rate), int(first)) if what == "send" else _take(client, float(rate))
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
