"""Searches that want to be something else: SQL, patterns, full-text syntax, or very long."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app.models.history import schema
from app.models.search import SearchError, parse, quote
from tests.models.test_search import Archive

SQL = (
    "' OR 1=1 --",
    "'; DROP TABLE task; --",
    '" OR ""="',
    "x') UNION SELECT uuid FROM task --",
    "1; ATTACH DATABASE '/tmp/x' AS x",
    "%' ESCAPE '",
    "' || (SELECT name FROM name) || '",
    "/* */ OR 1",
    "task.uuid",
    ":param_1 ? ?1 @x $x %s %(x)s {x}",
    "load_extension('x')",
    "0x41 X'41' CHAR(65)",
    "--",
    ";",
    "NULL",
    "`task`",
    "[task]",
)
PATTERNS = (
    "%",
    "_",
    "%%",
    "a%b",
    "a_b",
    "\\%",
    "\\_",
    "\\",
    "\\\\",
    "a\\",
    "*",
    "?",
    "[a-z]",
    "[^a]",
    "[",
    "]",
    "[]",
    "[!x]",
    "{a,b}",
    "**",
    "a*b",
    "é*?[",
    "ß_%",
)
FULL_TEXT = (
    '"',
    '""',
    '"a" "b"',
    "a NEAR b",
    "NEAR(a b, 3)",
    "a* ^b",
    "{a b} : c",
    "a + b",
    "col:x",
    "NOT",
    "AND",
    "OR",
    "-a",
    "- a",
    "(a",
    "a)",
    "()",
    "MATCH",
)
REGULAR = ("(a+)+$", "(a|a)*b", "^(.*)*$", "a{1000000}", "(?P<x>", "\\d+\\", "[[:alpha:]]", "(?:", ".*")
FIELDS = (
    "name:x",
    "state:x",
    "uuid:",
    "kwargs:a=b",
    "received:>x",
    "runtime:1..",
    "has:",
    "is:slow",
    "priority:1",
    "nmae:x",
    ":",
    "::",
    ":x",
    "x:",
)
UNICODE = (
    "ümlaut ÄÖÜ ß ẞ",
    "İstanbul \u0131I",
    "ΣΊΣΥΦΟΣ ς",
    "日本語",
    "العربية",
    "\u202eevil\u202c",
    "\ufeff",
    "\u200b",
    "\u2028\u2029",
    "e\u0301 é",
    "👩‍👩‍👧‍👦",
    "\U0010ffff",
    "ﬁ ﬀ",
    "ǆ ǅ Ǆ",
    "\u00a0",
    "\x01\x1b[31m\x7f",
    "\r\n\t\v\f",
    "\uff1d\uff43\uff4d\uff44",
    "\x85\x9f",
)
MARKUP = (
    "<b>x</b>",
    "<img src=x onerror=alert(1)>",
    "&lt;",
    "&amp;",
    "javascript:alert(1)",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "../../etc/passwd",
    "\\\\host\\share",
    "$(id)",
    "`id`",
    "|x",
    "#",
    "file:///x",
)
NUMBERS = (
    "1e999",
    "-1",
    "NaN",
    "Infinity",
    "0x10",
    "9" * 50,
    "1_000",
    "١٢٣",
    "00",
    "-0.0",
    "2**64",
    "9223372036854775808",
)
LONG = ("a" * 2000, "é" * 1000, '"' * 1000, "\\" * 1000, "%" * 1000, "'" * 1000, "a b " * 500, "(" * 900, "*" * 1000)

TEXTS = (*SQL, *PATTERNS, *FULL_TEXT, *REGULAR, *FIELDS, *UNICODE, *MARKUP, *NUMBERS, *LONG)
#: Each as it is, and inside other text.
HOSTILE = sorted({*TEXTS, *(f"pre{text}post" for text in TEXTS)})

TEXT_FIELDS = ("args", "kwargs", "result", "exception", "root", "parent")


class Haystack(Archive):
    """A history in which one task holds a hostile text; others hold what a careless pattern would find too."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.add("decoy", traceback="axb a?b", **dict.fromkeys(TEXT_FIELDS, "other"))
        self.add("blank")
        self.add("needle")

    def put(self, **columns: str) -> None:
        self.change("needle", **{**dict.fromkeys(TEXT_FIELDS, "other"), **columns})

    def checksum(self) -> list[Any]:
        with self.engine.connect() as connection:
            tables = (schema.task, schema.name, schema.worker, schema.queue, schema.meta)
            return [connection.execute(select(table)).all() for table in tables]


@pytest.fixture(scope="module")
def haystack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Haystack]:
    made = Haystack(tmp_path_factory.mktemp("hostile") / "history.sqlite")
    yield made
    made.engine.dispose()


def test_there_are_enough_hostile_texts() -> None:
    assert len(HOSTILE) >= 200


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:40])
def test_hostile_text_is_taken_literally_in_quotes(haystack: Haystack, text: str) -> None:
    haystack.put(args=f"['{text}']", result=text, exception=f"before {text} after", root=text)
    only_needle = text.casefold() not in "other axb a?b"

    for search in (quote(text), *(f"{field}:{quote(text)}" for field in ("args", "result", "exception", "root"))):
        found = haystack.ids(search)
        assert "needle" in found
        assert found == ["needle"] or not only_needle


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:40])
def test_hostile_text_is_found_or_refused_and_changes_nothing(haystack: Haystack, text: str) -> None:
    haystack.put()
    before = haystack.checksum()
    for start in ("", "-", "name:", "state:", "uuid:", f"kwargs:{text}=", "seen:", "wait:"):
        with contextlib.suppress(SearchError):
            haystack.ids(start + text)
    assert haystack.checksum() == before


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800", "x\udfff"])
def test_what_no_history_can_hold_is_refused(text: str) -> None:
    for search in (text, quote(text), f"name:{text}", f"kwargs:a={text}"):
        with pytest.raises(SearchError, match="No task can contain"):
            parse(search)


@pytest.mark.parametrize(
    "search",
    [
        "a*" * 1000 + "b",
        '"' + "a" * 1000 + '"*b',
        "*".join("ab" * 500),
        "kwargs:" + "a*" * 500 + "=" + "a*" * 500,
        "é*" * 900 + "x",
    ],
)
def test_many_gaps_do_not_take_long(haystack: Haystack, search: str) -> None:
    haystack.put(args="a" * 10_000, kwargs="'a" * 5_000, result="é" * 10_000)

    start = time.perf_counter()
    assert "needle" not in haystack.ids(search)
    assert time.perf_counter() - start < 0.25


@pytest.mark.parametrize(
    "search",
    [
        " OR ".join(f"w{number}" for number in range(64)),
        " ".join(f"w{number}" for number in range(128)),
        " OR ".join(f"-w{number}" for number in range(42)),
        " OR ".join(f"kwargs:a=b{number}" for number in range(64)),
        " ".join(f"kwargs:k{number}=it's*x" for number in range(100)),
        " OR ".join("root:" + ",".join(f"{number}x{part}" for part in range(90)) for number in range(3)),
        "name:" + ",".join(str(number) for number in range(128)),
        "(((((a OR b) c OR d) e OR f) g OR h) i OR j)",
        "NOT " * 120 + "a",
    ],
    ids=lambda search: search[:20],
)
def test_the_largest_searches_are_small_enough_for_sqlite(haystack: Haystack, search: str) -> None:
    haystack.ids(search)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=60) | st.text(alphabet='ab:"\\()*,-<>=. 5mzé%_[ORND', max_size=60))
def test_whatever_parses_executes(haystack: Haystack, text: str) -> None:
    for search in (text, f"name:{text}", f"seen:{text}", f"state:{text}", f"kwargs:{text}", f"NOT ({text}) OR x"):
        try:
            haystack.ids(search)
        except SearchError:
            continue


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    st.text(alphabet="aAbB%_\\*?[]éÉ'\" ", max_size=30),
    st.text(alphabet="aAbB%_\\*?[]éÉ'\" ", min_size=1, max_size=4),
)
def test_a_phrase_is_found_where_python_finds_it(haystack: Haystack, text: str, phrase: str) -> None:
    haystack.put(result=text)

    assert ("needle" in haystack.ids(f"result:{quote(phrase)}")) == (phrase.casefold() in text.casefold())
    assert ("needle" in haystack.ids(f"-result:{quote(phrase)}")) == (phrase.casefold() not in text.casefold())
