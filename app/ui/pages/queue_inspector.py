"""All that is known of one queue: where it is going, what waits by priority, and who takes it."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from PySide6.QtCore import QSignalBlocker, Signal

from app.models import formats
from app.models.history.charts import Series, Span
from app.models.qt.queues import RESTING, Flow, QueueRow, drains, oldest, priorities, resting
from app.models.qt.workers import state_sentence
from app.models.records import Gap, Queue, Worker
from app.models.signs import ALIVE
from app.models.wire import Peeked, Surveyed
from app.ui.shapes import StateStyle
from app.ui.theme import ThemeManager
from app.ui.widgets.charts import TimeChart
from app.ui.widgets.crosshair import Crosshair
from app.ui.widgets.facts import Fact, FactList
from app.ui.widgets.inspector import Inspector, heading, stack
from app.ui.widgets.labels import PlainLabel
from app.ui.widgets.queue_search import QueueSearch
from app.ui.widgets.share_bars import ShareBars
from app.ui.widgets.waiting import WaitingMessages

_CHART: Final = 190
_COLOURS: Final = {"ready": "accent", "unacked": "hint"}
_MARKS: Final = {
    "unattended": StateStyle("failed", "triangle-up", "Nobody consumes it"),
    "delayed": StateStyle("pending", "dotted", "Delayed until they are due"),
    "dead letter": StateStyle("rejected", "barred", "Dead letters"),
    "quarantine": StateStyle("pending", "barred", "In quarantine: purged, and may be restored"),
    "growing": StateStyle("retrying", "triangle-up", "Growing"),
    "empty": StateStyle("succeeded", "disc", "Empty"),
    "flowing": StateStyle("succeeded", "disc", "Flowing"),
    "steady": StateStyle("received", "ring", "Steady"),
    "unknown": StateStyle("unknown", "ring", "Not known yet where it is going"),
}


class QueueInspector(Inspector):
    """A chart over the time range, facts, priorities and consumers; and the messages that wait now.

    ``messages_wanted``: a page of the messages of a queue, see `WaitingMessages`. ``search_wanted``: to look through
    all of them, see `QueueSearch`; ``search_stopped``: to look no further.
    """

    messages_wanted = Signal(str, int, bool, bool)
    search_wanted = Signal(str, str, bool)
    search_stopped = Signal()

    def __init__(self, theme: ThemeManager, crosshair: Crosshair) -> None:
        super().__init__(theme, "Copy the queue's name")
        self.chart = TimeChart(theme, crosshair, "Messages", empty="The queue was not measured in this range.")
        self.chart.setFixedHeight(_CHART)
        self._facts = FactList()
        self._bars = ShareBars(theme, "Ready by priority")
        self._priorities = stack(heading("Ready by priority"), self._bars)
        self._consumers = FactList()
        self._nobody = PlainLabel(role="secondary")
        self._name = ""
        self._nobody.setWordWrap(True)
        self.add_tab(
            "Summary",
            self.chart,
            self._facts,
            self._priorities,
            stack(heading("Consumed by"), self._consumers, self._nobody),
        )
        self.messages = WaitingMessages(theme)
        self.messages.wanted.connect(self._want_messages)
        self.search = QueueSearch(theme)
        self.search.wanted.connect(self._want_search)
        self.search.stopped.connect(self.search_stopped)
        self.messages.left.connect(self.search.leave)
        self.search.left.connect(lambda: self._want_messages(0, self.messages.order.isChecked()))
        self.add_tab("Messages", self.search, self.messages)
        self.tabs.currentChanged.connect(self._look)
        #: The queue whose messages are shown.
        self.looked = ""

    def show_queue(self, row: QueueRow, workers: Sequence[Worker], now: float) -> None:
        """Show a queue and those of the workers that consume it, as it is ``now``."""
        queue = row.queue
        self._name = queue.name
        self._look()
        self.state.show_mark(_MARKS[condition(row)])
        self.title.setText(queue.name)
        self.copy.copied = queue.name
        self.subtitle.setText(f"{formats.count(queue.ready)} ready · {formats.count(queue.unacked)} unacked")
        self._facts.show_facts(facts(row, now))
        by_priority = priorities(queue)
        self._bars.show_parts([(f"Priority {step}", n) for step, n in by_priority])
        self._priorities.setVisible(len(by_priority) > 1 and bool(queue.ready))
        takers = consumers(queue, workers)
        self._consumers.show_facts(
            [Fact(worker.hostname, state_sentence(worker, now), tip=worker.hostname) for worker in takers]
        )
        self._nobody.setText("" if takers else _why_nobody(queue))
        self._nobody.setVisible(not takers)

    @property
    def looks(self) -> bool:
        """Whether messages are in sight."""
        return self.tabs.currentIndex() == self.tabs.count() - 1

    def forget_messages(self) -> None:
        """Show those of no queue: one of the same name elsewhere has others."""
        self.looked = ""
        with QSignalBlocker(self.messages.order):
            self.messages.order.setChecked(False)
        self.search.clear()
        self.messages.clear("")

    def _look(self) -> None:
        """Ask for messages when their tab is opened, or another queue is shown in it; they don't move by themselves."""
        if self._name != self.looked and self.looks:
            self.search_stopped.emit()
            self.search.clear()
            self.search.hide()
            self.messages.clear("Looking …")
            self._want_messages(0, self.messages.order.isChecked())

    def _want_messages(self, start: int, newest: bool, agreed: bool = False) -> None:  # noqa: FBT002 - as the signal has it
        self.looked = self._name
        self.messages_wanted.emit(self._name, start, newest, agreed)

    def _want_search(self, wanted: str, further: bool) -> None:
        self.search_wanted.emit(self.looked, wanted, further)

    def show_messages(self, queue: str, found: Peeked) -> None:
        """Show a page of messages, if it is still of the queue that is shown."""
        if queue == self.looked:
            self.messages.show_page(found)
            self.search.setVisible(found.turns and not found.error)

    def show_survey(self, queue: str, wanted: str, found: Surveyed) -> None:
        """Show what a look through a queue came to, if it is still the one that is shown."""
        if queue != self.looked:
            return
        self.search.show_survey(found)
        if wanted and not found.error:
            self.messages.show_found(found.survey.found)

    def show_trend(self, span: Span, step: float, series: Mapping[str, Series | None], gaps: Sequence[Gap]) -> None:
        """Draw ready and unacknowledged messages over time."""
        known = {name: one for name, one in series.items() if one is not None}
        self.chart.set_data(span, step, known, gaps, _COLOURS)


def condition(row: QueueRow) -> str:
    """What there is to say of a queue first."""
    if row.unattended:
        return "unattended"
    if row.queue.ready == 0:
        return "empty"
    words, seconds = drains(row)
    role = resting(row)
    if role in ("delayed", "quarantine") or (role and words != "growing"):
        return role
    return words if words in ("growing", "steady") else "flowing" if seconds is not None else "unknown"


def consumers(queue: Queue, workers: Sequence[Worker]) -> list[Worker]:
    """Workers that said they consume a queue and that are not gone."""
    return [worker for worker in workers if queue.name in (worker.queues or ()) and worker.state in ALIVE]


def facts(row: QueueRow, now: float) -> list[Fact]:
    """What is known of a queue, in words."""
    queue, flow = row.queue, row.flow
    late = "error" if row.unattended else ""
    sources = queue.dead_letters_of
    words, seconds = drains(row)
    found = [
        Fact("Ready", formats.count(queue.ready), tone=late),
        Fact("Unacked", formats.count(queue.unacked), tip="Workers hold them and have not acknowledged them"),
        Fact("Scheduled", formats.count(queue.scheduled or None), tip="Of these, workers hold so many until their ETA"),
        Fact("Consumers", formats.count(queue.consumers), tone=late),
        Fact("In", _per_minute(flow.came)),
        Fact("Out", _per_minute(flow.went)),
        Fact("Change", _change(flow)),
        Fact("Drains in", words if seconds is not None and math.isfinite(seconds) else ""),
        Fact(
            "Oldest",
            oldest(queue),
            tip="" if queue.oldest_exact else "It may be older: nobody told us when it was sent",
        ),
        Fact("Type", _type(queue)),
        Fact("Memory", formats.bytes_(queue.memory), tip="What the queue takes of the broker's memory"),
        Fact("Policy", queue.policy or "", literal=True),
        Fact("Dead letters to", _dead_letters_to(queue), literal=True, tip=_dead_letters_by(queue)),
        Fact("Dead letters of", formats.listed(sources), literal=True, tip="\n".join(sources)),
        Fact("First seen", formats.date_time(queue.seen), tip=formats.iso_utc(queue.seen)),
        Fact("Measured", "" if queue.sampled is None else f"{formats.age(now - queue.sampled)} ago"),
    ]
    return [fact for fact in found if fact.value not in ("", formats.UNKNOWN)]


def _change(flow: Flow) -> str:
    if flow.net is None:
        return ""
    return "steady" if flow.steady else f"{flow.net:+,.1f} per minute".replace("-", "−")


def _per_minute(flow: float | None) -> str:
    return "" if flow is None else f"{formats.rate(flow)} per minute"


def _type(queue: Queue) -> str:
    durable = {True: ", durable", False: ", lost when the broker restarts", None: ""}[queue.durable]
    return "" if queue.type is None else f"{queue.type}{durable}"


def _dead_letters_to(queue: Queue) -> str:
    """The queues that they go to, or else the exchange."""
    to = queue.dead_letter
    return "" if to is None else formats.listed(to.queues) or to.exchange or "(default exchange)"


def _dead_letters_by(queue: Queue) -> str:
    to = queue.dead_letter
    if to is None:
        return ""
    by = f"by {f'exchange {to.exchange}' if to.exchange else 'the default exchange'}"
    key = "with the key they came with" if to.routing_key is None else f"with the key {to.routing_key}"
    led = "" if to.queues else ", which leads to no queue that is known"
    return f"What is rejected or expired, or too much, goes on {by} {key}{led}"


def _why_nobody(queue: Queue) -> str:
    if queue.rests:
        return f"Nobody. {RESTING[queue.role or '']}."
    if queue.consumers is None:
        return "Not known: no worker has told us what it consumes."
    return "Nobody. Start a worker with -Q and this name, or tell a running one to consume it."
