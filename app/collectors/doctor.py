"""What can be seen of a broker: each capability tried in turn, with a remedy for what is missing."""

import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from app.collectors.brokers import Broker, broker_at
from app.collectors.control import Control
from app.collectors.errors import BrokerError
from app.collectors.inspector import from_stats
from app.collectors.normalise import Normaliser
from app.collectors.queues import Poll
from app.collectors.subscriber import Link
from app.models.profiles import Mode
from app.models.records import Event

#: Seconds to listen for events: longer than two of Celery's heartbeats.
LISTEN: Final = 5.0
#: Looks at queues at most: where there are many, not all is known after one.
LOOKS: Final = 3


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
    return list(Examination(broker_at(url, password, options), mode, listen=listen).findings())


class Examination:
    """Tries everything Cloche needs of a broker in an access mode, listening to its events for ``listen`` seconds."""

    def __init__(self, broker: Broker, mode: Mode, *, listen: float = LISTEN) -> None:
        self._broker = broker
        self._mode: Mode = mode
        self._seconds = listen
        self._heard: list[Event] = []
        self._came = threading.Event()
        self._stopped = False
        self._control: Control | None = None

    def stop(self) -> None:
        """Let it end soon, and tidily: it may have asked workers over a mailbox that has to go. From any thread."""
        self._stopped = True
        self._came.set()
        control = self._control
        if control is not None:
            control.give_up()

    def findings(self) -> Iterator[Finding]:
        """Each capability as soon as it was tried."""
        connected = True
        for finding in _connection(self._broker):
            connected = connected and finding.ok is not False
            yield finding
        if not connected:
            return
        for part in (self._listen, self._queues, self._workers):
            if self._stopped:
                return
            yield from part()

    def _listen(self) -> Iterator[Finding]:
        """Subscribe for some seconds; what was heard tells which workers and producers speak."""
        broker, normaliser = self._broker, Normaliser()
        stream = broker.events(self._came.set, self._mode)
        stream.start()
        deadline = time.monotonic() + self._seconds
        linked = False
        try:
            while not self._stopped and (left := deadline - time.monotonic()) > 0:
                self._came.wait(left)
                self._came.clear()
                for item in stream.take():
                    if isinstance(item, Link):
                        if item.error is not None:
                            yield Finding("subscribe", False, str(item.error), broker.remedies.listen)
                            return
                        linked = True
                        continue
                    item.decode(normaliser, self._heard)
        finally:
            stream.stop()
            stream.join()
        if self._stopped:
            return
        if linked:
            text = f"{normaliser.received} events in {self._seconds:.0f} s on {broker.source}."
            yield Finding("subscribe", True, text)
        else:
            text = "the broker did not confirm the subscription."
            yield Finding("subscribe", False, text, "Try again; the broker may be busy.")

    def _queues(self) -> Iterator[Finding]:
        names = {event.queue for event in self._heard if event.queue}
        queues = self._broker.queues(names, on_command=lambda _number: None)
        try:
            for _ in range(LOOKS):
                poll = queues.poll()
                if poll.complete:
                    break
        except BrokerError as error:
            yield Finding("queues", False, str(error), self._broker.remedies.queues)
            return
        finally:
            queues.close()
        refused = poll.troubles.get("rights")
        if refused is not None:
            text, _, remedy = str(refused).partition(" All else works. ")
            yield Finding("queues", any(queue.ready is not None for queue in poll.queues) or None, text, remedy)
            return
        waiting = sum(queue.ready or 0 for queue in poll.queues)
        yield Finding("queues", True, f"{len(poll.queues)} found, {waiting:,} messages waiting.")
        yield from _described(poll, self._broker.remedies.describe)

    def _workers(self) -> Iterator[Finding]:
        heard = self._heard
        answers, workers = self._ask()
        if self._stopped:
            return
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

    def _ask(self) -> tuple[dict[str, Any], Finding]:
        if self._mode == "passive":
            return {}, Finding("workers", None, "they are not asked in passive mode.")
        control = self._broker.control(self._mode, on_command=lambda _number: None)
        if control is None:
            return {}, Finding("workers", None, "they can't be asked over this kind of broker. Watching works.")
        self._control = control
        if self._stopped:
            control.give_up()
        try:
            answers = control.ask("stats", timeout=2.0)
        except BrokerError as error:
            return {}, Finding("workers", None, f"they could not be asked: {error}", self._broker.remedies.ask)
        finally:
            control.close()
        return answers, _answered(answers, self._heard)


def _connection(broker: Broker) -> Iterator[Finding]:
    server, fault = "", None
    try:
        server = broker.greet()
    except BrokerError as error:
        fault = error
    jump_host = broker.jump_host
    if jump_host is not None:
        text = f"signed in at {jump_host.shown}." if jump_host.reached else str(fault)
        yield Finding("SSH tunnel", jump_host.reached, text)
        if not jump_host.reached:
            return
    if fault is not None:
        if fault.fault == "auth":
            yield Finding("connect", True, f"{broker.shown} answers.")
            yield Finding("sign in", False, str(fault), broker.remedies.sign_in)
        else:
            unreached = fault.fault in ("network", "name") and jump_host is None
            remedy = "Check that the broker runs and that this machine may reach it." if unreached else ""
            yield Finding("connect", False, str(fault), remedy)
        return
    yield Finding("connect", True, f"{broker.shown} answers{f', {server}' if server else ''}.")
    yield Finding("sign in", True, "accepted." if broker.signs_in else "no password is needed.")


def _described(poll: Poll, remedy: str) -> Iterator[Finding]:
    """What the broker's management API adds, where it has one."""
    if not remedy:
        return
    trouble, alarm = poll.troubles.get("management"), poll.troubles.get("alarm")
    if "management" not in poll.troubles:
        text = "not asked, as its address is not given: only queues that somebody names are seen, and no rates."
        yield Finding("management API", None, text, remedy)
    elif trouble is not None:
        yield Finding("management API", False, str(trouble), "All else works without it.")
    else:
        yield Finding("management API", True, "tells of all queues of the virtual host.")
    if alarm is not None:
        text, _, remedy = str(alarm).partition(". Until")
        yield Finding("alarms", False, f"{text}.", f"Until{remedy}")


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
