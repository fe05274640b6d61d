"""What can be seen of a broker: each capability tried in turn, with a remedy for what is missing."""

import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from app.collectors.brokers import Broker, broker_at
from app.collectors.errors import BrokerError
from app.collectors.inspector import from_stats
from app.collectors.normalise import Normaliser
from app.collectors.subscriber import Link
from app.models.profiles import Mode
from app.models.records import Event

#: Seconds to listen for events: longer than two of Celery's heartbeats.
LISTEN: Final = 5.0


class Finding(msgspec.Struct, frozen=True):
    """One capability: ``ok`` is None where it could not be tried or told."""

    name: str
    ok: bool | None
    text: str
    remedy: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON types."""
        return {"name": self.name, "ok": self.ok, "text": self.text, "remedy": self.remedy}

    def line(self) -> str:
        """As a line for people."""
        mark = {True: "✓", False: "✗", None: "·"}[self.ok]
        remedy = f"\n    → {self.remedy}" if self.remedy else ""
        return f"{mark} {self.name}: {self.text}{remedy}"


def examine(
    url: str,
    password: str | None = None,
    options: dict[str, str] | None = None,
    *,
    mode: Mode = "observe",
    listen: float = LISTEN,
) -> list[Finding]:
    """Try everything Cloche needs of a broker in this access mode.

    Raises `BrokerError` only for an address that can't be read.
    """
    broker = broker_at(url, password, options)
    findings = list(_connection(broker))
    if any(finding.ok is False for finding in findings):
        return findings
    events, heard = _listen(broker, listen)
    findings.append(events)
    findings.append(_queues(broker, {event.queue for event in heard if event.queue}))
    findings.extend(_workers(broker, heard, mode))
    return findings


def _connection(broker: Broker) -> Iterator[Finding]:
    try:
        server = broker.greet()
    except BrokerError as fault:
        if fault.fault == "auth":
            yield Finding("connect", True, f"{broker.shown} answers.")
            yield Finding("sign in", False, str(fault), broker.remedies.sign_in)
        else:
            reached = fault.fault not in ("network", "name")
            remedy = "" if reached else "Check that the broker runs and that this machine may reach it."
            yield Finding("connect", False, str(fault), remedy)
        return
    yield Finding("connect", True, f"{broker.shown} answers{f', {server}' if server else ''}.")
    yield Finding("sign in", True, "accepted." if broker.signs_in else "no password is needed.")


def _listen(broker: Broker, seconds: float) -> tuple[Finding, list[Event]]:
    """Subscribe for some seconds; what was heard tells which workers and producers speak."""
    heard: list[Event] = []
    normaliser = Normaliser()
    came = threading.Event()
    stream = broker.events(came.set)
    stream.start()
    deadline = time.monotonic() + seconds
    linked = False
    try:
        while (left := deadline - time.monotonic()) > 0:
            came.wait(left)
            came.clear()
            for item in stream.take():
                if isinstance(item, Link):
                    if item.error is not None:
                        return Finding("subscribe", False, str(item.error), broker.remedies.listen), heard
                    linked = True
                    continue
                item.decode(normaliser, heard)
    finally:
        stream.stop()
        stream.join()
    if not linked:
        return Finding(
            "subscribe", False, "the broker did not confirm the subscription.", "Try again; the broker may be busy."
        ), heard
    return Finding("subscribe", True, f"{normaliser.received} events in {seconds:.0f} s on {broker.source}."), heard


def _queues(broker: Broker, names: set[str]) -> Finding:
    queues = broker.queues(names, on_command=lambda _number: None)
    try:
        poll = queues.poll()
    except BrokerError as error:
        return Finding("queues", False, str(error), broker.remedies.queues)
    finally:
        queues.close()
    refused = poll.troubles.get("rights")
    if refused is not None:
        text, _, remedy = str(refused).partition(" All else works. ")
        return Finding("queues", any(queue.ready is not None for queue in poll.queues) or None, text, remedy)
    waiting = sum(queue.ready or 0 for queue in poll.queues)
    return Finding("queues", True, f"{len(poll.queues)} found, {waiting:,} messages waiting.")


def _workers(broker: Broker, heard: list[Event], mode: Mode) -> Iterator[Finding]:
    answers, workers = _ask(broker, heard, mode)
    yield workers
    talking = {event.hostname for event in heard if event.type != "task-sent" and event.uuid is not None}
    alive = {event.hostname for event in heard if event.uuid is None} | set(answers)
    mute = sorted(alive - talking)
    if talking:
        yield Finding("task events", True, f"sent by {', '.join(sorted(talking))}.")
    elif alive:
        text = f"none heard of {', '.join(mute)}; either there was no work, or they run without -E."
        yield Finding("task events", None, text, "Start workers with -E, or set worker_send_task_events = True.")
    else:
        yield Finding("task events", None, "no worker was heard.", "Start a worker: celery -A yourapp worker -E.")
    if any(event.type == "task-sent" for event in heard):
        yield Finding("task-sent", True, "producers report what they send, so queue wait is exact.")
    else:
        text = "none heard; either nothing was sent, or producers do not report it. Queue wait is then unknown."
        yield Finding("task-sent", None, text, "Set task_send_sent_event = True where tasks are sent from.")


def _ask(broker: Broker, heard: list[Event], mode: Mode) -> tuple[dict[str, Any], Finding]:
    if mode == "passive":
        return {}, Finding("workers", None, "they are not asked in passive mode.")
    control = broker.control(mode, on_command=lambda _number: None)
    if control is None:
        return {}, Finding("workers", None, "they can't be asked over this kind of broker. Watching works.")
    try:
        answers = control.ask("stats", timeout=2.0)
    except BrokerError as error:
        remedy = "Without it, pools and slots stay unknown. Watching works."
        return {}, Finding("workers", None, f"they could not be asked: {error}", remedy)
    finally:
        control.close()
    return answers, _answered(answers, heard)


def _answered(answers: dict[str, Any], heard: list[Event]) -> Finding:
    silent = sorted({event.hostname for event in heard if event.type == "worker-heartbeat"} - set(answers))
    if not answers:
        remedy = "Start a worker. A solo pool answers only between tasks; worker_enable_remote_control must be on."
        return Finding("workers", None, "none answers.", remedy)
    told = [
        f"{hostname} ({from_stats(answer).get('pool') or 'pool unknown'})"
        for hostname, answer in sorted(answers.items())
    ]
    also = f" Not answering: {', '.join(silent)}." if silent else ""
    return Finding("workers", True, f"{', '.join(told)} answered.{also}")
