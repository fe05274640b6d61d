from typing import Any

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from app.models.acts import Edited, Plan, Rerun
from app.ui.theme import ThemeManager
from app.ui.widgets.argument_editor import ArgumentEditor
from app.ui.widgets.json_edit import JsonEdit

CUT: dict[str, Any] = {
    "id": "cut", "name": "mail.send", "grade": "incomplete", "source": "event text, cut", "args": '["ok", null]',
    "kwargs": '{"customer": {"name": "Ada Lo...", "id": 7}}', "doubtful": ["args[1]", "kwargs.customer.name"],
    "kept": ["queue mail"], "lost": ["membership in a chord"], "warnings": ["It succeeded before."],
}  # fmt: skip
TOLD: dict[str, Any] = {"id": "told", "name": "mail.count", "grade": "reconstructed", "args": "[1]"}
EXACT: dict[str, Any] = {"id": "exact", "name": "mail.sort", "grade": "exact", "source": "the message itself"}


def plan(*tasks: dict[str, Any], needs: tuple[str, ...] = ("cut",), count: int | None = None) -> Plan:
    return Plan(
        title="", verb="", count=len(tasks) if count is None else count, things="task", needs_edit=list(needs),
        details={"tasks": list(tasks)},
    )  # fmt: skip


@pytest.fixture
def make(qtbot: QtBot, theme: ThemeManager) -> Any:
    def editor(made: Plan, wish: Rerun | None = None) -> ArgumentEditor:
        widget = ArgumentEditor(theme, made, wish or Rerun([task["id"] for task in made.details["tasks"]]))
        qtbot.addWidget(widget)
        widget.resize(QSize(760, 560))
        widget.show()
        return widget

    return editor


def marked(edit: JsonEdit) -> list[str]:
    """The texts with a ground of their own."""
    return [selection.cursor.selectedText() for selection in edit.paper.extraSelections()]


def test_doubtful_values_are_marked_by_a_ground_and_by_a_sign(make: Any) -> None:
    editor = make(plan(CUT))
    assert marked(editor.args) == ["null"]
    assert marked(editor.kwargs) == ['"Ada Lo..."']
    assert editor.args._gutter.marks == {(0, "retrying")}
    assert editor._doubtful.text() == "▲ Look at args[1], kwargs.customer.name: marked below."
    assert editor.badge.accessibleName() == "Incomplete: event text, cut"
    assert editor._warnings.text() == "It succeeded before."
    assert editor._more.text() == "Kept: queue mail\nNot kept: membership in a chord"


def test_a_sign_stands_beside_the_line_of_its_value(make: Any) -> None:
    long = {"customer": 0} | CUT | {"kwargs": '{"a": "' + "x" * 60 + '", "b": {"c": 1, "d": [true, 2]}}'}
    editor = make(plan(long | {"doubtful": ["kwargs.b.d[1]"]}))
    lines = editor.kwargs.text.split("\n")
    [(line, token)] = editor.kwargs._gutter.marks
    assert (lines[line].strip(), token) == ("2", "retrying")


def test_marks_stay_right_behind_characters_of_two_units(make: Any) -> None:
    editor = make(plan(CUT | {"args": '["😀😀", "mark me"]', "doubtful": ["args[1]"]}))
    assert marked(editor.args) == ['"mark me"']


def test_what_is_doubtful_has_to_be_checked(make: Any, qtbot: QtBot) -> None:
    editor = make(plan(CUT))
    assert not editor.complete
    with qtbot.waitSignal(editor.changed):
        QTest.keyClick(editor.checked, Qt.Key.Key_Space)
    assert editor.complete
    assert editor.edited(Rerun(["cut"])) == Rerun(["cut"], edited={"cut": Edited(CUT["args"], CUT["kwargs"])})


def test_arguments_that_were_mended_are_those_that_are_sent(make: Any) -> None:
    editor = make(plan(CUT))
    editor.checked.setChecked(True)
    editor.args.paper.setPlainText('["ok", "two"]')
    assert not editor.checked.isChecked()  # another text has to be checked anew
    assert not editor.complete
    editor.checked.setChecked(True)
    editor.kwargs.paper.setPlainText('{"customer": {"name": "Ada Lovelace", "id": 7}}\n')
    editor.checked.setChecked(True)
    assert editor.complete
    assert editor.edited(Rerun(["cut"])).edited == {
        "cut": Edited('["ok", "two"]', '{"customer": {"name": "Ada Lovelace", "id": 7}}')
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["ok", ]', "Line 1, column 6: There is a comma too many."),
        ('["ok",\n None]', "Line 2, column 2: In JSON this is null."),
        ('{"a": 1}', "Line 1, column 1: This has to be an array, in [ and ]."),
        ("", "Line 1, column 1: This has to be an array, in [ and ]."),
    ],
)
def test_what_is_no_json_can_not_be_checked(make: Any, text: str, said: str) -> None:
    editor = make(plan(CUT))
    editor.args.paper.setPlainText(text)
    assert editor.args.error == said
    assert editor.args._error.text() == said
    assert not editor.checked.isEnabled()
    assert not editor.complete
    assert editor.edited(Rerun(["cut"])).edited == {}
    assert {token for _, token in editor.args._gutter.marks} == {"failed"}


def test_exact_arguments_need_nothing_and_stay_what_they_are(make: Any) -> None:
    editor = make(plan(EXACT, needs=()))
    assert editor.complete
    assert not editor.checked.isVisible()
    assert not editor.tasks.isVisible()
    assert editor.edited(Rerun(["exact"])) == Rerun(["exact"])
    editor.args.paper.setPlainText("[2]")  # who changes them answers for them
    assert editor.checked.isVisible()
    assert not editor.complete
    editor.checked.setChecked(True)
    assert editor.edited(Rerun(["exact"])) == Rerun(["exact"], edited={"exact": Edited("[2]", "{}")})


def test_of_several_those_that_need_it_come_first_and_each_is_checked(make: Any) -> None:
    editor = make(plan(EXACT, TOLD, CUT, needs=("told", "cut")))
    shown = [editor.tasks.item(row).text() for row in range(3)]
    assert shown == ["● mail.count  told", "● mail.send  cut", "✓ mail.sort  exact"]
    assert editor.tasks.item(0).data(Qt.ItemDataRole.AccessibleTextRole).endswith("Reconstructed, to be checked")
    assert editor._left.text() == "2 tasks to check"
    editor.checked.setChecked(True)
    editor.tasks.setCurrentRow(1)
    assert not editor.checked.isChecked()
    assert not editor.complete
    editor.kwargs.paper.setPlainText("{}")
    editor.tasks.setCurrentRow(0)
    editor.tasks.setCurrentRow(1)
    assert editor.kwargs.text == "{}"  # it is kept
    editor.checked.setChecked(True)
    assert editor.complete
    assert editor._left.text() == "Nothing left to check"
    assert editor.tasks.item(0).text().startswith("✓")
    assert editor.edited(Rerun(["exact", "told", "cut"])) == Rerun(
        ["exact", "told", "cut"], edited={"told": Edited("[1]", "{}"), "cut": Edited(CUT["args"], "{}")}
    )


def test_what_is_not_checked_is_not_sent_as_it_is_written(make: Any, qtbot: QtBot) -> None:
    editor = make(plan(EXACT, CUT))
    with qtbot.assertNotEmitted(editor.changed):
        editor.args.paper.setPlainText("[1]")
    assert editor.edited(Rerun(["exact", "cut"])) == Rerun(["exact", "cut"])
    editor.checked.setChecked(True)
    with qtbot.waitSignal(editor.changed):  # what was checked is so no more
        editor.args.paper.setPlainText("[2]")
    assert editor.edited(Rerun(["cut"])).edited == {}


def test_the_next_plan_s_editor_takes_over_what_was_written(make: Any, theme: ThemeManager, qtbot: QtBot) -> None:
    before = make(plan(CUT, TOLD, needs=("cut", "told")))
    before.args.paper.setPlainText('["mended"]')
    before.checked.setChecked(True)
    before.tasks.setCurrentRow(1)
    before.args.paper.setPlainText("[half written")
    wish = before.edited(Rerun(["cut", "told"]))
    assert set(wish.edited) == {"cut"}
    after = ArgumentEditor(theme, plan(TOLD, CUT, needs=("told",)), wish, before)
    qtbot.addWidget(after)
    assert after.args.text == "[half written"
    assert not after.checked.isChecked()
    assert after.edited(wish) == wish
    after.tasks.setCurrentRow(1)
    assert after.args.text == '["mended"]'
    assert after.checked.isChecked()
    assert marked(after.kwargs) == ['"Ada Lo..."']


def test_what_a_wish_has_already_is_shown_as_checked(make: Any) -> None:
    wish = Rerun(["cut"], edited={"cut": Edited('["mine"]', "{}"), "elsewhere": Edited("[]", "{}")}, queue="slow")
    editor = make(plan(CUT, needs=()), wish)
    assert (editor.args.text, editor.kwargs.text) == ('["mine"]', "{}")
    assert editor.checked.isChecked()
    assert editor.complete
    assert editor.edited(wish) == wish


def test_it_is_said_that_some_that_need_it_are_not_shown(make: Any) -> None:
    editor = make(plan(EXACT, CUT, needs=("another", "cut")))
    assert editor._left.text() == "1 task to check\n1 more not shown"
    editor.checked.setChecked(True)
    assert not editor.complete


def test_what_can_not_be_written_as_json_is_shown_and_not_edited(make: Any) -> None:
    editor = make(plan(EXACT | {"readable": False, "to": "queue mail"}, needs=()))
    assert editor.args.paper.isReadOnly()
    assert "only describes them" in editor._warnings.text()
    assert editor._more.text() == "To: queue mail"
    assert editor.complete


def test_hidden_signs_are_seen_and_sent_as_they_were(make: Any) -> None:
    editor = make(plan(CUT | {"args": '["a\u202eb\u00a0c"]', "doubtful": []}))
    assert editor.args.text == '["a\\u202eb\\u00a0c"]'
    editor.checked.setChecked(True)
    assert editor.edited(Rerun(["cut"])).edited["cut"].args == '["a\u202eb\u00a0c"]'  # nobody touched it


def test_hostile_texts_are_shown_as_they_are(make: Any) -> None:
    evil = "<img src=//10.0.0.1/x.png>"
    editor = make(
        plan(
            CUT | dict.fromkeys(("name", "id", "source"), evil) | {"warnings": [evil], "kept": [evil]},
            TOLD,
            needs=(evil,),
        )
    )
    for label in editor.findChildren(QLabel):
        assert label.textFormat() == Qt.TextFormat.PlainText or not label.text(), label.text()
        assert "<img" not in label.toolTip()
    assert evil in editor.badge.accessibleName()
    assert editor._name.text() == evil


def test_ten_thousand_tasks_are_listed(make: Any) -> None:
    many = [EXACT | {"id": f"t{number}"} for number in range(10_000)]
    editor = make(plan(*many, CUT))
    assert editor.tasks.count() == 10_001
    assert editor._name.text() == "mail.send"
    editor.checked.setChecked(True)
    assert editor.complete
