import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QTextCursor
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from app.ui.theme import ThemeManager
from app.ui.widgets.traceback_view import TracebackView
from app.ui.widgets.tracebacks import exception, headline, parse, runs, short_path
from tests.ui.histories import TRACEBACK

CHAINED = """Traceback (most recent call last):
  File "/srv/app/a.py", line 1, in inner
    raise KeyError("x")
KeyError: 'x'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/app/a.py", line 2, in middle
    raise ValueError("y") from error
ValueError: y

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "C:\\\\venv\\\\Lib\\\\site-packages\\\\celery\\\\app\\\\trace.py", line 3, in outer
    go()
  [Previous line repeated 975 more times]
app.errors.Broken: two
lines
"""


def test_the_last_exception_is_told_first_with_its_innermost_frame() -> None:
    (raised,) = parse(TRACEBACK)
    assert (raised.type, raised.message) == ("ConnectionError", "api.leads.example refused the connection (111)")
    assert [(short_path(frame.path), frame.line, frame.function, frame.library) for frame in raised.frames] == [
        ("requests/adapters.py", 700, "send", True),
        ("requests/sessions.py", 602, "get", True),
        ("…/app/leads/scrape.py", 88, "fetch", False),
        ("…/app/leads/scrape.py", 41, "scrape_page", False),
        ("celery/app/trace.py", 736, "__protected_call__", True),
        ("celery/app/trace.py", 453, "trace_task", True),
    ]
    assert raised.frames[2].source == ("response = session.get(url, timeout=3)",)
    assert [len(run) for run in runs(raised.frames)] == [2, 1, 1, 2]


def test_chained_exceptions_are_told_with_what_they_have_to_do_with_each_other() -> None:
    assert [(raised.type, raised.message, raised.link) for raised in parse(CHAINED)] == [
        ("app.errors.Broken", "two\nlines", ""),
        ("ValueError", "y", "while handling"),
        ("KeyError", "'x'", "caused by"),
    ]
    assert parse(CHAINED)[0].frames[0].library
    assert parse(CHAINED)[0].frames[0].source == ("go()", "[Previous line repeated 975 more times]")


@pytest.mark.parametrize(
    "text", ["", "boom", "Traceback …", "KeyError: 1", 'File "x", line 1', "x" * 10_000, "\x00\n" * 50]
)
def test_a_text_that_is_no_traceback_is_not_made_one(text: str) -> None:
    assert parse(text) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ValueError('boom')", ("ValueError", "'boom'")),
        ("app.errors.Broken(1, 2)", ("app.errors.Broken", "1, 2")),
        ("KeyError", ("KeyError", "")),
        ("KeyError: 1", ("KeyError", "1")),
        ("it broke (badly)", ("", "it broke (badly)")),
    ],
)
def test_an_exception_is_taken_apart_where_it_can_be(text: str, told: tuple[str, str]) -> None:
    assert exception(text) == headline(text, "") == told


def test_the_traceback_tells_an_exception_better_than_its_repr() -> None:
    assert headline("ConnectionError('api…')", TRACEBACK)[1] == "api.leads.example refused the connection (111)"


@pytest.fixture
def view(qtbot: QtBot, theme: ThemeManager) -> TracebackView:
    made = TracebackView(theme)
    qtbot.addWidget(made)
    made.resize(500, 400)
    made.show_failure("ConnectionError('api…')", TRACEBACK)
    return made


def test_library_frames_are_folded_until_they_are_asked_for(view: TracebackView) -> None:
    folded = view.toPlainText()
    assert folded == (
        "ConnectionError\n"
        "api.leads.example refused the connection (111)\n"
        "\n"
        "▸ 2 frames in libraries\n"
        "…/app/leads/scrape.py:88 in fetch\n"
        "  response = session.get(url, timeout=3)\n"
        "…/app/leads/scrape.py:41 in scrape_page\n"
        "  html = fetch(url)\n"
        "▸ 2 frames in libraries"
    )
    view.toggle_fold(1)
    assert view.toPlainText().endswith(
        "▾ 2 frames in libraries\n"
        "celery/app/trace.py:736 in __protected_call__\n"
        "  return self.run(*args, **kwargs)\n"
        "celery/app/trace.py:453 in trace_task\n"
        "  R = retval = fun(*args, **kwargs)"
    )
    view.toggle_fold(1)
    assert view.toPlainText() == folded


def test_folds_open_by_a_click_and_by_enter(view: TracebackView) -> None:
    view.show()
    cursor = QTextCursor(view.document().findBlockByNumber(3))
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.cursorRect(cursor).center())
    assert "requests/adapters.py" in view.toPlainText()
    view.setTextCursor(QTextCursor(view.document().findBlockByNumber(3)))
    QTest.keyClick(view, Qt.Key.Key_Return)
    assert "requests/adapters.py" not in view.toPlainText()


def test_what_was_unfolded_stays_while_the_same_failure_is_shown(view: TracebackView) -> None:
    view.toggle_fold(0)
    unfolded = view.toPlainText()
    view.show_failure("ConnectionError('api…')", TRACEBACK)
    assert view.toPlainText() == unfolded
    view.show_failure("KeyError('x')", "")
    assert view.toPlainText().strip() == "KeyError\n'x'"


def test_markup_stays_text_and_long_texts_are_cut(view: TracebackView) -> None:
    view.show_failure("", "<b>bold</b>" + "x" * 500_000)
    assert view.toPlainText().lstrip().startswith("<b>bold</b>")
    assert len(view.toPlainText()) < 101_000
