"""A line over the acts: whether the log of them is as it was written, and ways to have it."""

from functools import partial
from pathlib import Path
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QMenu, QPushButton, QSizePolicy, QToolButton

from app.models.audit_chain import Verdict
from app.models.formats import number_of
from app.ui.theme import ThemeManager
from app.ui.widgets.findings import Mark
from app.ui.widgets.labels import ElidedLabel, PlainLabel

#: What can be exported: the form, what the menu says, the name of the file, and the filter of the dialog.
_FORMS: Final = (
    ("csv", "Acts as CSV …", "cloche-acts.csv", "CSV (*.csv)"),
    ("jsonl", "Their lines of the log, as JSON …", "cloche-audit.jsonl", "JSON lines (*.jsonl)"),
)


class LogBar(QFrame):
    """Signals: ``verify_wanted``; ``export_wanted`` with the form of an export (csv, jsonl) and the name of a file."""

    verify_wanted = Signal()
    export_wanted = Signal(str, str)

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._mark = Mark(theme)
        self._says = PlainLabel("The audit log", role="strong")
        self._more = ElidedLabel(role="secondary", mode=Qt.TextElideMode.ElideMiddle)
        self.verify, self.export = QPushButton("Verify"), QToolButton()
        self.verify.setToolTip("Look whether any line of the log was changed, moved or taken out")
        self.verify.clicked.connect(self.verify_wanted)
        self.export.setText("Export …")
        self.export.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.export)
        for form, says, name, kind in _FORMS:
            menu.addAction(says, partial(self._choose, form, name, kind))
        self.export.setMenu(menu)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 5, 10, 5)
        row.setSpacing(8)
        row.addWidget(self._mark)
        row.addWidget(self._says)
        row.addWidget(self._more, 1)
        row.addWidget(self.verify)
        row.addWidget(self.export)
        self._say("info", "The audit log", "")

    @property
    def text(self) -> str:
        """What it says."""
        return f"{self._says.text()} {self._more.text()}".strip()

    def show_busy(self) -> None:
        """Say that it is looked at."""
        self.verify.setEnabled(False)

    def show_verdict(self, verdict: Verdict, log: Path) -> None:
        """Say whether the log is as it was written."""
        if not verdict.faults:
            lines = f"{number_of(verdict.lines, 'line')} in {log}"
            self._say("info", "The log is as it was written.", lines if verdict.lines else "Nothing is in it yet.")
            return
        more = f" And {len(verdict.faults) - 1:,} more." if len(verdict.faults) > 1 else ""
        self._say("error", "The log is not as it was written.", f"{verdict.faults[0]}{more}", "\n".join(verdict.faults))

    def show_trouble(self, text: str) -> None:
        """Say what is wrong."""
        what, _, why = text.partition(". ")
        self._say("error", f"{what}." if why else what, why)

    def show_exported(self, number: int, path: Path) -> None:
        """Say what was exported."""
        self._say("info", f"{number_of(number, 'act')} exported.", str(path))

    def _say(self, severity: str, what: str, more: str, tip: str = "") -> None:
        self.verify.setEnabled(True)
        self._mark.show_severity(severity)
        self._says.setText(what)
        self._more.setText(more)
        self._more.explain(tip)

    def _choose(self, form: str, name: str, kind: str) -> None:
        dialog = QFileDialog(self, "Export", name, kind)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(Path(name).suffix[1:])
        dialog.selectFile(name)
        dialog.fileSelected.connect(lambda chosen: self.export_wanted.emit(form, chosen))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
