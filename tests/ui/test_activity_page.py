"""What was done to a broker, as the page tells it: from audit logs as collectors write them."""

import asyncio
import csv
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog, QLabel
from pytestqt.qtbot import QtBot

from app import paths
from app.demo.fleet import DemoBroker
from app.demo.session import targets_in
from app.models.acts import Caution, Item, Outcome, Plan, Purge, Restore, Revoke
from app.models.audit import AuditLog, Subject
from app.models.qt.activity import Column
from app.models.redact import redact_url
from app.models.target import Target
from app.ui.main_window import MainWindow
from app.ui.pages.activity import ActivityPage
from app.ui.shots import take_shots
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import ThemeManager
from app.ui.widgets.act_dialog import ActDialog
from tests.ui.conftest import Run, loaded, until

URL = "redis://shop.example:6379/0"
SHOP = Subject("shop", URL, "production")
EDR = Subject("edr", "redis://edr.example:6379/0", "staging")
PLAN = Plan(
    title="Purge mail", verb="Purge", count=3, things="message", facts=[("Priority 6", "3")],
    cautions=[Caution("Not purged: 2 with an ETA.", grave=True)], undo="They can be restored.",
)  # fmt: skip
ITEMS = [Item("a", ok=True, text="moved"), Item("b", ok=True), Item("c", ok=False, text="gone")]


@pytest.fixture(autouse=True)
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of the test's own; a collector that is never started."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("app.ui.link.CollectorLink.start", lambda _link: None)


@pytest.fixture
def window(qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, tmp_path: Path) -> Iterator[MainWindow]:
    made = MainWindow(supervisor, theme, QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat))
    qtbot.addWidget(made)
    with qtbot.waitActive(made):
        made.show()
        made.activateWindow()
    yield made
    theme.set_mode("dark")


def log(subject: Subject = SHOP) -> AuditLog:
    return AuditLog(paths.audit_file(), subject)


def purge(act: str = "a1", subject: Subject = SHOP, **outcome: object) -> None:
    to = log(subject)
    to.intend(act, Purge("mail"), PLAN)
    to.note(act, ITEMS)
    told = {"state": "done", "done": 2, "failed": 1, "total": 3, "text": "2 are in quarantine."} | outcome
    to.conclude(act, Outcome(**told))  # type: ignore[arg-type]


def connect(window: MainWindow, history: Path, name: str = "shop", url: str = URL) -> Connection:
    return window._supervisor.add(Target(name, history, url, environment="production", mode="operate"))


def page_of(window: MainWindow) -> ActivityPage:
    page = window.page
    assert isinstance(page, ActivityPage)
    return page


def rows(window: MainWindow) -> list[str]:
    model = page_of(window).table.model()
    columns = (Column.OUTCOME, Column.TITLE, Column.DONE, Column.FAILED)
    return [" | ".join(str(model.index(row, column).data()) for column in columns) for row in range(model.rowCount())]


async def shown(window: MainWindow) -> None:
    """Until the page has read."""
    window.show_page("activity")
    await loaded(window.page)


async def inspected(window: MainWindow, act: str) -> None:
    page = page_of(window)
    page.inspect(act)
    await until(lambda: page._details._act == act)


def test_what_was_done_is_listed_newest_first(window: MainWindow, run: Run, history: Path) -> None:
    async def story() -> None:
        connect(window, history)
        QTest.keyClick(window, Qt.Key.Key_5, Qt.KeyboardModifier.AltModifier)
        await loaded(window.page)
        assert rows(window) == []
        assert "Nothing was done to this broker" in page_of(window).table._empty._title.text()
        purge()
        log().intend("a2", Revoke(["x"]), Plan(title="Revoke 1 task", verb="Revoke", count=1, things="task"))
        await shown(window)
        # What another process writes is read without being told of.
        await until(lambda: len(rows(window)) == 2)
        assert rows(window)[1] == "Done | Purge mail | 2 of 3 messages | 1"
        assert page_of(window).table.isColumnHidden(Column.BROKER)

    run(story())


def test_of_other_brokers_nothing_is_listed_but_on_the_page_over_all(
    window: MainWindow, run: Run, history: Path, tmp_path: Path
) -> None:
    purge("a1")
    purge("a2", EDR)
    purge("a3", Subject("elsewhere", "redis://elsewhere/0", "staging"))

    async def story() -> None:
        connect(window, history)
        await shown(window)
        assert page_of(window)._deeds.rowCount() == 1
        connect(window, tmp_path / "edr.cloche", "edr", "redis://edr.example:6379/0")
        window.scope.choose_all()
        await shown(window)
        page = page_of(window)
        assert page is window.across["activity"]
        assert [page._deeds.record(row).act for row in range(page._deeds.rowCount())] == ["a3", "a2", "a1"]
        assert not page.table.isColumnHidden(Column.BROKER)
        await inspected(window, "a2")
        assert page._details.resume.isHidden()
        assert page._details.undo.isHidden()

    run(story())


def test_a_recording_tells_what_was_done_to_its_broker(window: MainWindow, run: Run, history: Path) -> None:
    async def story() -> None:
        file = window._supervisor.add(Target("a file", history))
        broker = (await file.query(lambda reader: reader.meta()))["broker"]
        assert broker == redact_url(broker)
        purge("a1", Subject("another name", broker, "production"), undo=Restore("q"))
        await shown(window)
        assert len(rows(window)) == 1
        await inspected(window, "a1")
        assert page_of(window)._details.undo.isHidden()  # there is no broker behind it

    run(story())


def test_all_about_an_act_is_shown(window: MainWindow, run: Run, history: Path) -> None:
    purge()

    async def story() -> None:
        connect(window, history)
        await shown(window)
        await inspected(window, "a1")
        details = page_of(window)._details
        assert details.title.text() == "Purge mail"
        text = "\n".join(label.text() for label in details.findChildren(QLabel))
        for wanted in (
            "2 are in quarantine.", "shop.example", "production", "2 of 3 messages, 1 failed", "1–3", "Priority 6",
            "They can be restored.", "Not purged: 2 with an ETA.",
        ):  # fmt: skip
            assert wanted in text
        assert [line.item for line in details.items.records()] == ITEMS
        wish = {"type": "Purge", "queue": "mail", "backup": "", "quarantine": ""}
        assert msgspec.json.decode(details._wish.whole_text()) == wish

    run(story())


def test_what_was_broken_off_is_gone_on_with_and_what_was_done_is_undone(
    window: MainWindow, run: Run, history: Path
) -> None:
    purge("done", undo=Restore("q"))
    purge("stopped", state="stopped")
    broken = log()
    broken.intend("broken", Purge("mail"), PLAN)
    broken.let_go("broken")  # as a crash does
    kept = log()
    kept.intend("under way", Purge("mail"), PLAN)

    async def story() -> None:
        connect(window, history)
        await shown(window)
        details = page_of(window)._details
        offers = {}
        for act in ("done", "stopped", "broken", "under way"):
            await inspected(window, act)
            offers[act] = (not details.resume.isHidden(), not details.undo.isHidden())
        assert offers == {
            "done": (False, True), "stopped": (True, False), "broken": (True, False), "under way": (False, False),
        }  # fmt: skip
        await inspected(window, "broken")
        details.resume.click()
        [dialog] = [each for each in window.findChildren(ActDialog) if each.isVisible()]
        assert (dialog._wish, dialog._resumed) == (None, "broken")
        dialog.reject()
        await inspected(window, "done")
        details.undo.click()
        [dialog] = [each for each in window.findChildren(ActDialog) if each.isVisible()]
        assert dialog._wish == Restore("q")
        dialog.reject()

    run(story())
    kept.conclude("under way", Outcome(state="done"))


def test_an_act_is_followed_while_it_goes_on(window: MainWindow, run: Run, history: Path) -> None:
    async def story() -> None:
        connect(window, history)
        to = log()
        to.intend("a1", Purge("mail"), PLAN)
        await shown(window)
        await inspected(window, "a1")
        details = page_of(window)._details
        assert details.items.rowCount() == 0
        to.note("a1", ITEMS[:1])
        await until(lambda: details.items.rowCount() == 1)
        to.conclude("a1", Outcome(state="done", done=3, total=3))
        await until(lambda: rows(window) == ["Done | Purge mail | 3 of 3 messages | 0"])
        await until(lambda: details.state.accessibleName() == "Done · 3 of 3 messages")

    run(story())


def test_whether_the_log_is_whole_is_said_at_first_sight_and_on_demand(
    window: MainWindow, run: Run, history: Path
) -> None:
    purge()

    async def story() -> None:
        connect(window, history)
        await shown(window)
        bar = page_of(window)._bar
        assert bar.text.startswith("The log is as it was written. 3 lines in ")
        path = paths.audit_file()
        changed = path.read_bytes().replace(b"gone", b"left")
        await asyncio.to_thread(path.write_bytes, changed)
        bar.verify.click()
        await until(lambda: bar.text.startswith("The log is not as it was written."))
        assert "does not follow the one before it" in bar.text

    run(story())


def test_a_log_that_cannot_be_read_is_said_to_be(window: MainWindow, run: Run, history: Path) -> None:
    paths.audit_file().mkdir(parents=True)

    async def story() -> None:
        connect(window, history)
        await shown(window)
        assert "can't be read" in page_of(window)._bar.text

    run(story())


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_acts_are_exported(window: MainWindow, run: Run, history: Path, tmp_path: Path, form: str) -> None:
    purge("a1")
    purge("a2", EDR)
    file = tmp_path / f"acts.{form}"

    async def story() -> None:
        connect(window, history)
        await shown(window)
        bar = page_of(window)._bar
        [action] = [each for each in bar.export.menu().actions() if ("CSV" in each.text()) == (form == "csv")]
        action.trigger()
        [dialog] = bar.findChildren(QFileDialog)
        assert dialog.acceptMode() == QFileDialog.AcceptMode.AcceptSave
        dialog.fileSelected.emit(str(file))
        dialog.close()
        await until(lambda: bar.text == f"1 act exported. {file}")
        bar.export_wanted.emit(form, str(tmp_path / "none" / "acts"))
        await until(lambda: "Can't write" in bar.text)

    run(story())
    if form == "csv":
        assert [row["act"] for row in csv.DictReader(file.read_text().splitlines())] == ["a1"]
    else:
        assert {msgspec.json.decode(line)["act"] for line in file.read_text().splitlines()} == {"a1"}


def test_texts_of_strangers_are_plain(window: MainWindow, run: Run, history: Path) -> None:
    evil = "<img src='file:///etc/x.png'>\u202e" + "long " * 500
    plan = Plan(
        title=evil, verb=evil, count=1, things=evil, facts=[(evil, evil)], cautions=[Caution(evil)] * 99, undo=evil
    )
    to = AuditLog(paths.audit_file(), Subject(evil, URL, evil))
    to.intend("a1", Purge(evil), plan)
    to.note("a1", [Item(evil, ok=True, text=evil)])
    to.conclude("a1", Outcome(state="done", done=1, total=1, text=evil))

    async def story() -> None:
        connect(window, history)
        await shown(window)
        await inspected(window, "a1")
        page = page_of(window)
        page.grab()
        for label in page.findChildren(QLabel):
            assert label.textFormat() == Qt.TextFormat.PlainText or not label.text(), label.text()
            assert "\u202e" not in label.text()
            assert "<img" not in label.toolTip()

    run(story())


def test_a_picture_shows_the_act_that_needs_a_look(
    window: MainWindow, run: Run, history: Path, tmp_path: Path, theme: ThemeManager
) -> None:
    purge("fine", failed=0, done=3)
    purge("stopped", state="stopped")
    purge("new", failed=0, done=3)

    async def story() -> None:
        connect(window, history)
        taken = await take_shots(window, theme, tmp_path / "shots", [(1024, 700)])
        assert {path.name for path in taken if path.name.startswith("activity")} == {
            "activity-dark-1024x700.png", "activity-light-1024x700.png",
        }  # fmt: skip
        await shown(window)
        await page_of(window).prepare_shot()
        assert page_of(window).inspected == "stopped"

    run(story())


def test_the_demo_shows_what_was_done_to_it_and_never_the_user_s_own_log(
    window: MainWindow, run: Run, history: Path, tmp_path: Path
) -> None:
    purge("mine", Subject("leadlawk", URL, "production"))
    demo = targets_in(tmp_path / "demo", [DemoBroker(name, URL, "production") for name in ("leadlawk", "workshop")])
    supervisor = window._supervisor

    async def acts() -> list[str]:
        await shown(window)
        return [deed.act for deed in page_of(window)._deeds.records()]

    async def story() -> None:
        for target in demo:
            supervisor.add(msgspec.structs.replace(target, history=history))
        connect(window, history, "leadlawk")
        assert await acts() == []
        assert demo[0].audit is not None
        of_demo = AuditLog(demo[0].audit, Subject("leadlawk", URL, "production"))
        of_demo.intend("demo", Purge("mail"), PLAN)
        of_demo.conclude("demo", Outcome(state="done"))
        assert await acts() == ["demo"]
        window.scope.choose_all()
        assert await acts() == ["demo"]
        window.scope.choose(2)  # a broker of the user's own has the user's own log
        assert await acts() == ["mine"]
        window.scope.choose(0)
        assert await acts() == ["demo"]

    run(story())
