"""Everything that was done to a broker, newest first, and all about one of these acts; nothing is ever missing here."""

import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Final, cast

from PySide6.QtCore import Signal

from app.models import activity, audit_chain
from app.models.activity import Activity, Deed, Format, Story
from app.models.audit_chain import AuditError, Verdict
from app.models.export import ExportError, write_file
from app.models.history.errors import HistoryError
from app.models.history.reader import Reader
from app.models.qt.activity import DeedTableModel
from app.models.redact import redact_url
from app.ui.live import TimeRange
from app.ui.pages.deed_inspector import DeedInspector
from app.ui.pages.table_page import TablePage
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets.log_bar import LogBar
from app.ui.widgets.table import Width
from app.ui.widgets.ticker import Ticker

_EMPTY: Final = (
    "Nothing was done to this broker",
    "What is done from here or by the cloche command is written down before it is done, and listed here.",
)
_NOTHING: Final = ("Nothing was done to any broker", _EMPTY[1])
_BROKER: Final = Width(108, weight=1)
_WIDTHS: Final = (
    Width(0),
    Width(104, full=124),
    Width(108),
    Width(180, weight=4),
    Width(156, weight=1, rank=2),
    Width(62, rank=1),
    Width(110, weight=1, rank=3),
)


class ActivityPage(TablePage):
    """Of one broker, or of all with a column that says which. Times are not ruled by the time range: acts are few.

    It shows ``log``, or that of the connections it is about, where they have one of their own.

    Signals: ``resume_wanted`` with the id of an act that is to be gone on with; ``opened`` is that of all pages over
    all brokers, and never emitted here.
    """

    resume_wanted = Signal(str)
    opened = Signal(object, str)
    refresh_ms = 500

    def __init__(self, theme: ThemeManager, time_range: TimeRange, log: Path, *, across: bool = False) -> None:
        self._deeds = DeedTableModel()
        self._details = DeedInspector(theme)
        self._bar = LogBar(theme)
        widths = (_BROKER, *_WIDTHS[1:]) if across else _WIDTHS
        super().__init__(theme, time_range, self._deeds, widths, self._details, above=self._bar)
        self._deeds.setParent(self)
        self._log = self._usual = log
        self._across = across
        self._activity = Activity(log)
        self._verdict: Verdict | None = None
        self._shown: list[Deed] = []
        #: The act that the inspector shows, as it was when it was read.
        self._told: Deed | None = None
        self.table.setAccessibleName("Acts")
        self._details.resume_wanted.connect(self.resume_wanted)
        self._details.undo_wanted.connect(self.act_wanted)
        self._bar.verify_wanted.connect(lambda: self.spawn(self._verify()))
        self._bar.export_wanted.connect(lambda form, path: self.spawn(self._export(form, Path(path))))
        self._ticker = Ticker(self)
        self._ticker.timeout.connect(self.touch)

    async def load(self) -> None:
        asked = self.connections
        if not asked:
            return
        try:
            more = True
            while more:  # in pieces, between which others are answered
                more = await asked[0].work_out(self._activity.read)
            wanted = await self._filter(asked)
            deeds = await asked[0].work_out(lambda: [deed for deed in self._activity.deeds if wanted(deed)])
            told = await self._told_of(asked[0], deeds)
        except AuditError as error:
            self._bar.show_trouble(str(error))
            return
        if asked != self.connections:
            return
        if deeds != self._shown:
            self._shown = deeds
            self._deeds.show(deeds, time.time())
        self.table.set_empty(*(_NOTHING if self._across else _EMPTY))
        if told is not None and told[0].act == self.inspected:
            self._show(*told)
        if self._verdict is None:
            await self._verify()

    def watch(self, connections: Sequence[Connection]) -> None:
        self._shown = []
        log = next((one.target.audit for one in connections if one.target.audit is not None), self._usual)
        if log != self._log:
            self._log, self._activity, self._verdict = log, Activity(log), None
        super().watch(connections)

    def close_inspector(self) -> None:
        self._told = None
        super().close_inspector()

    def most_telling(self) -> Hashable | None:
        worst = max(self._deeds.records(), key=lambda deed: (deed.unfinished, deed.failed > 0), default=None)
        return None if worst is None else worst.act

    async def _filter(self, asked: Sequence[Connection]) -> Callable[[Deed], bool]:
        """Which acts the page is about."""
        if self._across:
            return lambda _: True
        name, broker = asked[0].profile.name, redact_url(asked[0].profile.url)
        if not broker:
            try:  # a recording knows what it is of
                broker = (await asked[0].query(Reader.meta)).get("broker", "")
            except HistoryError:
                broker = ""
        return lambda deed: deed.is_of(name, broker)

    async def _told_of(self, asked: Connection, deeds: Sequence[Deed]) -> tuple[Deed, Story] | None:
        """All about the act that is inspected, where that is news."""
        deed = next((deed for deed in deeds if deed.act == self.inspected), None)
        if deed is None or deed == self._told:
            return None
        return deed, await asked.work_out(lambda: activity.story(self._log, deed))

    def _show(self, deed: Deed, story: Story) -> None:
        self._told = deed
        # Each act is on one broker: where the page is about all of them, nothing acts.
        connection = self.connection
        self._details.show_deed(deed, story, acts=not self._across and connection is not None and connection.live)

    async def _verify(self) -> None:
        asked = self.connections
        if not asked:
            return
        self._bar.show_busy()
        try:
            self._verdict = await asked[0].work_out(lambda: audit_chain.verify(self._log))
            self._bar.show_verdict(self._verdict, self._log)
        except AuditError as error:
            self._bar.show_trouble(str(error))

    async def _export(self, form: str, path: Path) -> None:
        asked = self.connections
        if not asked:
            return
        wanted = None if self._across else await self._filter(asked)
        try:
            number = await asked[0].work_out(
                lambda: write_file(
                    path, lambda out: activity.export(self._log, out, format=cast("Format", form), wanted=wanted)
                )
            )
        except (AuditError, ExportError) as error:
            self._bar.show_trouble(str(error))
        else:
            self._bar.show_exported(number, path)
