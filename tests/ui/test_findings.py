"""What needs attention, as the window says it: rows with a remedy and a button, and the switch for events."""

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QWidget
from pytestqt.qtbot import QtBot

from app.models.diagnosis import Action, Finding
from app.models.records import Worker
from app.ui.theme import ThemeManager
from app.ui.widgets.confirm_dialog import ConfirmDialog
from app.ui.widgets.events_bar import EventsBar
from app.ui.widgets.findings import MOST, OPERATE_ONLY, Findings
from app.ui.widgets.progress import ProgressView, progress

NOW = 1_795_230_000.0
QUEUE = Finding(
    "queue:mail", "error", NOW - 60, "Nobody consumes queue mail.", "412 waiting", "Start a worker.",
    Action("queue", "mail"),
)  # fmt: skip
EVENTS = Finding("events", "warning", None, "1 worker runs without -E.", "w1@h", "Start it with -E.", Action("events"))
GAP = Finding("gap", "info", None, "Nobody listened once.", "Last until 10:00", "Charts show it.")


@pytest.fixture
def card(qtbot: QtBot, theme: ThemeManager) -> Findings:
    made = Findings(theme)
    qtbot.addWidget(made)
    made.resize(1000, 300)
    return made


def many(number: int) -> list[Finding]:
    return [Finding(f"k{n}", "warning", None, f"Trouble {n}.", "", "Mend it.") for n in range(number)]


def test_a_finding_says_what_since_when_and_what_to_do(card: Findings) -> None:
    card.show_findings([QUEUE, GAP], NOW, operates=False)
    assert not card.isHidden()
    first, second = card._rows.values()
    assert first._text.text() == "Nobody consumes queue mail."
    assert first._evidence.text().startswith("412 waiting · since ")
    assert first.accessibleName().startswith("error: Nobody consumes queue mail. 412 waiting")
    assert first.accessibleDescription() == "Start a worker."
    assert first._act.text() == "Show queue"
    assert second._act.isHidden()


def test_what_to_do_is_opened_by_keyboard_and_by_mouse(card: Findings) -> None:
    card.show()
    card.show_findings([QUEUE], NOW, operates=False)
    (row,) = card._rows.values()
    assert row._remedy.isHidden()
    row._open.setFocus()
    QTest.keyClick(row._open, Qt.Key.Key_Space)
    assert row._remedy.isVisible()
    assert row._remedy.text() == "Start a worker."
    QTest.mouseClick(row, Qt.MouseButton.LeftButton)
    assert row._remedy.isHidden()


def test_evidence_that_is_cut_is_told_whole_with_the_remedy(card: Findings) -> None:
    card.show()
    card.show_findings([Finding("k", "error", None, "Oh.", "w" * 400, "Mend it.")], NOW, operates=False)
    (row,) = card._rows.values()
    row._open.click()
    assert row._remedy.text() == f"{'w' * 400}\nMend it."


def test_its_button_says_which_finding(card: Findings, qtbot: QtBot) -> None:
    card.show_findings([QUEUE], NOW, operates=False)
    (row,) = card._rows.values()
    with qtbot.waitSignal(card.acted) as caught:
        row._act.click()
    assert caught.args == [QUEUE]


@pytest.mark.parametrize("operates", [True, False])
def test_events_are_turned_on_only_where_workers_may_be_told(card: Findings, operates: bool) -> None:
    card.show_findings([EVENTS, QUEUE], NOW, operates=operates)
    events, queue = card._rows.values()
    assert events._act.isEnabled() == operates
    assert events._act.toolTip() == ("" if operates else OPERATE_ONLY)
    assert queue._act.isEnabled()


def test_an_open_row_stays_open_while_its_figures_change_and_others_go(card: Findings) -> None:
    card.show()
    card.show_findings([EVENTS, QUEUE], NOW, operates=True)
    row = card._rows["queue:mail"]
    row._open.click()
    card.show_findings([msgspec.structs.replace(QUEUE, evidence="413 waiting")], NOW, operates=True)
    assert list(card._rows) == ["queue:mail"]
    assert card._rows["queue:mail"] is row
    assert row._remedy.isVisible()
    assert row._evidence.text().startswith("413 waiting")
    assert card._layout.indexOf(row) == 0


def test_rows_stand_in_the_order_of_the_findings(card: Findings) -> None:
    card.show_findings([GAP, EVENTS], NOW, operates=True)
    card.show_findings([QUEUE, EVENTS, GAP], NOW, operates=True)
    assert [card._layout.indexOf(card._rows[key]) for key in ("queue:mail", "events", "gap")] == [0, 1, 2]
    assert [row.first for row in card._rows.values()] == [True, False, False]


def test_the_worst_are_shown_and_the_rest_on_demand(card: Findings) -> None:
    card.show()
    card.show_findings(many(MOST + 3), NOW, operates=True)
    assert len(card.texts()) == MOST
    assert card._more.text() == "3 more"
    card._more.click()
    assert len(card.texts()) == MOST + 3
    card._more.click()
    assert len(card.texts()) == MOST
    card.show_findings(many(MOST + 1), NOW, operates=True)
    assert len(card.texts()) == MOST + 1
    assert card._below.isHidden()
    card.show_findings([], NOW, operates=True)
    assert card.isHidden()


def test_nothing_of_a_finding_becomes_markup(card: Findings) -> None:
    evil = "<img src=//10.0.0.1/x.png>\u202e"
    card.resize(200, 100)
    card.show()
    card.show_findings([Finding(evil, "error", None, evil, evil, evil, Action("queue", evil))], NOW, operates=True)
    card._rows[evil]._open.click()
    card.grab()
    for label in card.findChildren(QLabel):
        assert label.textFormat() == Qt.TextFormat.PlainText
        assert "\u202e" not in label.text()
        assert "<img" not in label.toolTip()


# --- turning events on and off ---------------------------------------------------------------------------------------


def worker(name: str, *, events: bool | None, state: str = "online") -> Worker:
    return Worker(name, NOW, state=state, events=events)


@pytest.fixture
def bar(qtbot: QtBot, theme: ThemeManager) -> EventsBar:
    made = EventsBar(theme)
    qtbot.addWidget(made)
    return made


@pytest.mark.parametrize(
    "workers", [[], [worker("a", events=True)], [worker("a", events=None)], [worker("a", events=False, state="lost")]]
)
def test_where_all_workers_tell_there_is_nothing_to_switch(bar: EventsBar, workers: list[Worker]) -> None:
    bar.show_workers(workers, operates=True)
    assert bar.isHidden()


def test_the_switch_says_how_where_it_is_locked(bar: EventsBar, qtbot: QtBot) -> None:
    mute = [worker("a", events=False), worker("b", events=False)]
    bar.show_workers(mute, operates=False)
    assert not bar.isHidden()
    assert bar._says.text() == "2 workers run without -E."
    assert "change the access mode" in bar._how.text()
    assert not bar._on.isEnabled()
    bar.show_workers(mute, operates=True)
    assert "--mode operate" not in bar._how.text()
    with qtbot.waitSignal(bar.wanted):
        bar._on.click()


def test_it_is_done_only_after_a_question_whose_answer_is_no(qtbot: QtBot, theme: ThemeManager) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    done: list[str] = []

    def opened() -> ConfirmDialog:
        dialog = ConfirmDialog(parent, "Forget shop <b>?", "It is forgotten.", "Forget it")
        dialog.accepted.connect(lambda: done.append("yes"))
        dialog.rejected.connect(lambda: done.append("no"))
        dialog.show()
        return dialog

    text = "\n".join(label.text() for label in opened().findChildren(QLabel))
    assert "shop <b>" in text
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Escape):
        dialog = opened()
        QTest.keyClick(dialog, key)
        assert done.pop() == "no"
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Space):
        dialog = opened()
        QTest.keyClick(dialog.cancel, Qt.Key.Key_Tab)
        assert dialog.focusWidget() is dialog.do
        QTest.keyClick(dialog.do, key)
        assert done.pop() == "yes"


def test_a_question_is_shown_whole(qtbot: QtBot, theme: ThemeManager) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    dialog = ConfirmDialog(parent, "Forget shop?", "A text of several lines. " * 20, "Forget it")
    dialog.show()
    for label in dialog.findChildren(QLabel):
        assert label.height() >= label.heightForWidth(label.width()) or not label.wordWrap()
        assert dialog.rect().contains(label.geometry())


# --- progress --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "share", "words"),
    [
        ('{"current": 4210, "total": 10000}', 0.421, "4,210 of 10,000 · 42.1 %"),
        ('{"done": 1.5, "total": 3}', 0.5, "1.50 of 3 · 50.0 %"),
        ('{"percent": 42}', 0.42, "42.0 %"),
        ('{"current": 12, "total": 10}', 1.0, "12 of 10 · 100 %"),
        ('{"current": -1, "total": 10}', 0.0, "-1 of 10 · 0 %"),
        ('{"current": 5, "total": 0, "percent": 50}', 0.5, "50.0 %"),
    ],
)
def test_progress_is_a_bar_where_the_task_says_how_far_it_is(payload: str, share: float, words: str) -> None:
    found = progress(payload)
    assert found is not None
    assert found.share == pytest.approx(share)
    assert found.words == words


@pytest.mark.parametrize(
    "payload",
    [
        *("{}", "[]", "3", "not JSON", '{"current": 5}', '{"total": 5}', '{"current": 5, "total": 0}'),
        *('{"current": "5", "total": "9"}', '{"current": true, "total": 9}', '{"percent": null}'),
        f'{{"current": {"9" * 30}, "total": 1e300}}',
    ],
)
def test_progress_that_is_no_figure_is_no_bar(payload: str, qtbot: QtBot) -> None:
    assert progress(payload) is None
    view = ProgressView()
    qtbot.addWidget(view)
    view.show_payload(payload)
    assert view._bar.isHidden()
    assert view._payload.whole_text()


def test_a_payload_is_shown_whole_and_plain(qtbot: QtBot) -> None:
    view = ProgressView()
    qtbot.addWidget(view)
    view.show_payload('{"current": 1, "total": 4, "step": "<b>x</b>"}')
    assert not view._bar.isHidden()
    assert view._bar.value() == 250
    assert '"step": "<b>x</b>"' in view._payload.toPlainText()
