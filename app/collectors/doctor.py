"""What can be seen of a broker: each capability tried in turn, with a remedy for what is missing."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from app.collectors.broker import Broker
from app.collectors.brokers import broker_of
from app.collectors.control import Control
from app.collectors.errors import BrokerError
from app.collectors.inspector import from_active_queues, from_stats
from app.collectors.normalise import Normaliser
from app.collectors.queues import Poll
from app.collectors.results import reach, results_address
from app.collectors.settings import Told, from_conf, offers
from app.collectors.subscriber import Link
from app.models.records import Event
from app.models.wire import Examine, Found

#: Seconds to listen for events: longer than two of Celery's heartbeats; and that workers have to answer.
LISTEN: Final = 5.0
#: Looks at queues at most: where there are many, not all is known after one.
LOOKS: Final = 3
ANSWER: Final = 2.0


def examine(asked: Examine, *, listen: float = LISTEN) -> list[Found]:
    """Try everything Cloche needs of a broker.

    Raises `BrokerError` only for an address that can't be read.
    """
    return list(Examination(asked, listen=listen).findings())


class Examination:
    """Tries everything Cloche needs of a broker in an access mode, listening to its events for ``listen`` seconds.

    Raises `BrokerError` (fault ``address``) for an address or option that can't be used; no connection is made before
    `findings`.
    """

    def __init__(self, asked: Examine, *, listen: float = LISTEN) -> None:
        self._asked = asked
        self._broker = broker_of(asked)
        self._backend = results_address(asked)
        self._seconds = listen
        self._heard: list[Event] = []
        self._queues_found: set[str] = set()
        self._answered: set[str] = set()
        self._told: dict[str, Told] = {}
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

    def findings(self) -> Iterator[Found]:
        """Each capability as soon as it was tried."""
        connected = True
        for finding in _connection(self._broker):
            connected = connected and finding.ok is not False
            yield finding
        if not connected:
            return
        for part in (self._listen, self._queues, self._acting, self._results, self._workers, self._events):
            if self._stopped:
                return
            yield from part()

    def _listen(self) -> Iterator[Found]:
        """Subscribe for some seconds; what was heard tells which workers and producers speak."""
        broker, normaliser = self._broker, Normaliser()
        stream = broker.events(self._came.set, self._asked.mode)
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
                            yield Found("subscribe", False, str(item.error), broker.remedies.listen)
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
            yield Found("subscribe", True, text)
        else:
            text = "the broker did not confirm the subscription."
            yield Found("subscribe", False, text, "Try again; the broker may be busy.")

    def _queues(self) -> Iterator[Found]:
        names = {event.queue for event in self._heard if event.queue} | set(self._asked.queues)
        queues = self._broker.queues(names, on_command=lambda _number: None)
        try:
            for _ in range(LOOKS):
                poll = queues.poll()
                if poll.complete:
                    break
        except BrokerError as error:
            yield Found("queues", False, str(error), self._broker.remedies.queues)
            return
        finally:
            queues.close()
        self._queues_found = names | {queue.name for queue in poll.queues}
        refused = poll.troubles.get("rights")
        if refused is not None:
            text, _, remedy = str(refused).partition(" All else works. ")
            yield Found("queues", any(queue.ready is not None for queue in poll.queues) or None, text, remedy)
        else:
            waiting = sum(queue.ready or 0 for queue in poll.queues)
            yield Found("queues", True, f"{len(poll.queues)} found, {waiting:,} messages waiting.")
        yield from _described(poll, self._broker.remedies.describe)

    def _acting(self) -> Iterator[Found]:
        if self._asked.mode != "operate":
            return
        try:
            yield self._broker.acting(min(self._queues_found, default="celery"))
        except BrokerError as error:
            yield Found("acting", None, str(error))

    def _results(self) -> Iterator[Found]:
        if self._backend is None:
            return
        try:
            reach(self._backend)
        except BrokerError as error:
            remedy = "Without it, how a task ended that was not heard stays unknown. Watching works."
            yield Found("result backend", False, str(error), remedy)
        else:
            yield Found("result backend", True, f"{self._backend.shown} tells how tasks ended that were not heard.")

    def _workers(self) -> Iterator[Found]:
        if self._asked.mode == "passive":
            yield Found("workers", None, "they are not asked in passive mode.")
            return
        control = self._broker.control(self._asked.mode, on_command=lambda _number: None)
        if control is None:
            yield Found("workers", None, "they can't be asked over this kind of broker. Watching works.")
            return
        self._control = control
        if self._stopped:
            control.give_up()
        try:
            yield from self._ask(control)
        finally:
            control.close()

    def _ask(self, control: Control) -> Iterator[Found]:
        try:
            answers = control.ask("stats", timeout=ANSWER)
        except BrokerError as error:
            yield Found("workers", None, f"they could not be asked: {error}", self._broker.remedies.ask)
            return
        if self._stopped:
            return
        self._answered = set(answers)
        yield _answered(answers, self._heard)
        if not answers:
            return
        try:
            yield from self._settings(control, list(answers))
        except BrokerError as error:
            yield Found("settings", None, f"workers could not be asked for theirs: {error}")

    def _settings(self, control: Control, workers: Sequence[str]) -> Iterator[Found]:
        """What workers have set that this connection does not know of."""
        consumed = control.ask("active_queues", workers, timeout=ANSWER)
        answers = control.ask("conf", workers, arguments={"with_defaults": True}, timeout=ANSWER)
        self._told = {name: told for name, answer in answers.items() if (told := from_conf(answer)) is not None}
        if self._stopped or not self._told:
            return
        for answer in consumed.values():
            self._queues_found.update(from_active_queues(answer).get("queues", ()))
        found = offers(self._told, self._asked, self._queues_found)
        if found:
            differs = [f"{offer.worker} has {offer.option} = {offer.value}." for offer in found]
            yield Found("settings", None, " ".join(differs), "Use them here too, to see all that there is.", found)
        else:
            yield Found("settings", True, f"those of {', '.join(sorted(self._told))} are known here.")

    def _events(self) -> Iterator[Found]:
        heard = self._heard
        talking = {event.hostname for event in heard if event.type != "task-sent" and event.uuid is not None}
        alive = {event.hostname for event in heard if event.uuid is None} | self._answered
        mute = sorted(alive - talking)
        if talking:
            yield Found("task events", True, f"sent by {', '.join(sorted(talking))}.")
        elif alive:
            on = all(name in self._told and self._told[name].sends_events for name in alive)
            why = "there was no work" if on else "either there was no work, or they run without -E"
            text = f"none heard of {', '.join(mute)}; {why}."
            yield Found("task events", None, text, "Start workers with -E, or set worker_send_task_events = True.")
        else:
            yield Found("task events", None, "no worker was heard.", "Start a worker: celery -A yourapp worker -E.")
        yield _sent(heard, self._told)


def _connection(broker: Broker) -> Iterator[Found]:
    server, fault = "", None
    try:
        server = broker.greet()
    except BrokerError as error:
        fault = error
    jump_host = broker.jump_host
    if jump_host is not None:
        text = f"signed in at {jump_host.shown}." if jump_host.reached else str(fault)
        yield Found("SSH tunnel", jump_host.reached, text)
        if not jump_host.reached:
            return
    if fault is not None:
        if fault.fault == "auth":
            yield Found("connect", True, f"{broker.shown} answers.")
            yield Found("sign in", False, str(fault), broker.remedies.sign_in)
        else:
            unreached = fault.fault in ("network", "name") and jump_host is None
            remedy = "Check that the broker runs and that this machine may reach it." if unreached else ""
            yield Found("connect", False, str(fault), remedy)
        return
    yield Found("connect", True, f"{broker.shown} answers{f', {server}' if server else ''}.")
    yield Found("sign in", True, "accepted." if broker.signs_in else "no password is needed.")


def _described(poll: Poll, remedy: str) -> Iterator[Found]:
    """What the broker's management API adds, where it has one."""
    if not remedy:
        return
    trouble, alarm = poll.troubles.get("management"), poll.troubles.get("alarm")
    if "management" not in poll.troubles:
        text = "not asked, as its address is not given: only queues that somebody names are seen, and no rates."
        yield Found("management API", None, text, remedy)
    elif trouble is not None:
        remedy = "Without it, queues are those that workers consume and those that you name. Watching works."
        yield Found("management API", False, str(trouble), remedy)
    else:
        yield Found("management API", True, "tells all queues of the virtual host, and what is unacknowledged.")
    if alarm is not None:
        text, _, remedy = str(alarm).partition(". Until")
        yield Found("alarms", False, f"{text}.", f"Until{remedy}")


def _answered(answers: dict[str, Any], heard: list[Event]) -> Found:
    silent = sorted({event.hostname for event in heard if event.type == "worker-heartbeat"} - set(answers))
    if not answers:
        remedy = "Start a worker. A solo pool answers only between tasks; worker_enable_remote_control must be on."
        return Found("workers", None, "none answers.", remedy)
    told = [
        f"{hostname} ({from_stats(answer).get('pool') or 'pool unknown'})"
        for hostname, answer in sorted(answers.items())
    ]
    also = f" Not answering: {', '.join(silent)}." if silent else ""
    return Found("workers", True, f"{', '.join(told)} answered.{also}")


def _sent(heard: Sequence[Event], told: Mapping[str, Told]) -> Found:
    """Whether producers tell of what they send; workers' settings are likely those of producers."""
    if any(event.type == "task-sent" for event in heard):
        return Found("task-sent", True, "producers report what they send, so queue wait is exact.")
    off = sorted(name for name, settings in told.items() if settings.sends_sent is False)
    if off:
        text = f"none heard, and task_send_sent_event is off in the settings of {', '.join(off)}."
    elif told:
        text = "none heard, though workers have it on: nothing was sent, or its sender has other settings."
    else:
        text = "none heard; either nothing was sent, or producers do not report it."
    return Found(
        "task-sent", None, f"{text} Queue wait is then unknown.",
        "Set task_send_sent_event = True where tasks are sent from.",
    )  # fmt: skip
