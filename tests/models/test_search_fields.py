"""What each field of a search finds in a real history file, and what the database does for it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.models.search import parse, quote
from tests.models.test_search import NOW, Archive


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Archive]:
    archive = Archive(tmp_path / "history.sqlite")
    yield archive
    archive.engine.dispose()


@pytest.mark.parametrize(
    ("kwargs", "search", "found"),
    [
        ("{'n': 3, 'm': 30}", "kwargs:n=3", True),
        ("{'n': 3, 'm': 30}", "kwargs:m=3", False),
        ("{'n': 3, 'm': 30}", "kwargs:m=30", True),
        ("{'n': 30}", "kwargs:n=3*", True),
        ("{'number': 3}", "kwargs:n=3", False),
        ("{'n': '3'}", "kwargs:n=3", True),
        ("{'ok': True, 'none': None}", "kwargs:ok=true kwargs:none=none", True),
        ("{'items': [1, 2], 'n': 1}", 'kwargs:items="[1, 2]"', True),
        ("{'a': {'b': 1}}", "kwargs:b=1", True),
        ("{'x': ''}", "kwargs:x=", True),
        ("{'x': 'y'}", "kwargs:x=", False),
        ("{'a=b': 'c'}", "kwargs:a=b", False),
        ("{'k': 'a=b'}", "kwargs:k=a=b", True),
        ("{'k': 'it\\'s'}", "kwargs:k=it's", True),  # saferepr
        ("{'k': \"it's\"}", "kwargs:k=it's", True),  # repr
        ("{'k': 'C:\\x'}", "kwargs:k=C:\\x", True),  # saferepr
        ("{'k': 'C:\\\\x'}", "kwargs:k=C:\\x", True),  # repr
        ("{'k': 'say \"hi\"'}", 'kwargs:k="say \\"hi\\""', True),
        ('{"k": "v", "n": 3}', "kwargs:k=V kwargs:n=3", True),  # JSON
        ('{"k":"v","n":3}', "kwargs:k=v kwargs:n=3", True),
        ('{"k": "\\u00e9t\\u00e9"}', "kwargs:k=été", True),
        ("{'k': 'Été'}", "kwargs:k=éTÉ", True),
        ("{'k': '100%'}", "kwargs:k=100_", False),
        ("{'k': 'v', ...}", "kwargs:k=v", True),
        ("{'a': 1}", "-kwargs:b=1", True),
        (None, "-kwargs:b=1", True),
    ],
)
def test_keyword_argument(empty: Archive, kwargs: str | None, search: str, found: bool) -> None:
    empty.add("task", kwargs=kwargs)

    assert empty.ids(search) == ["task"] * found


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("runtime:>5", "slow"),
        ("runtime:>5s", "slow"),
        ("runtime:>=5s", "five slow"),
        ("runtime:<5000ms", "fast"),
        ("runtime:<=5", "fast five"),
        ("runtime:5s..2m", "five slow"),
        ("runtime:1m30s..", "slow"),
        ("runtime:..500us", "fast"),
        ("runtime:..500µs", "fast"),
        ("-runtime:>5", "fast five running crawling"),
        ("retries:3", "five"),
        ("retries:>=3", "five slow"),
        ("retries:0..3", "fast five running crawling"),
        ("is:slow", "slow crawling"),
        ("is:running", "running crawling"),
        ("has:runtime", "fast five slow"),
        ("started:>-15s", "running"),
        ("started:<-15s", "crawling"),
        ("has:started started:<now", "running crawling"),
        ("eta:<+1h", "five"),
        ("eta:>+1h", "slow"),
    ],
)
def test_figures(empty: Archive, search: str, expected: str) -> None:
    empty.add("fast", runtime=0.0004, state="SUCCESS")
    empty.add("five", runtime=5, retries=3, state="SUCCESS", eta=NOW + 60)
    empty.add("slow", runtime=90.5, retries=7, state="SUCCESS", eta=NOW + 7200)
    empty.add("running", state="STARTED", started=NOW - 9)
    empty.add("crawling", state="PROGRESS", started=NOW - 20)

    assert empty.ids(search) == expected.split()


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("is:lost", "lost"),
        ("state:lost", "lost"),
        ("state:lost?", "lost"),
        ("is:unknown", "unheard untold"),
        ("is:doubted", "lost unheard untold"),
        ("is:running", "running progress"),
        ("is:waiting", "given-back"),
        ("is:slow", "running progress"),
        ("is:redelivered", "again"),
        ("is:retried", "again"),
        ("-is:doubted is:finished", "again"),
    ],
)
def test_a_task_in_doubt_is_found_as_what_it_is_and_never_as_running(
    empty: Archive, search: str, expected: str
) -> None:
    long_ago = NOW - 60
    empty.add("lost", state="LOST", started=long_ago, doubted=NOW)
    empty.add("unheard", state="UNKNOWN", started=long_ago, doubted=NOW)
    empty.add("untold", state="UNKNOWN", started=long_ago, doubted=NOW)
    empty.add("given-back", state="PENDING", note="It waits again.", doubted=NOW)
    empty.add("running", state="STARTED", started=long_ago)
    empty.add("progress", state="PROGRESS", started=long_ago)
    empty.add("again", state="SUCCESS", redelivered=1, retries=2)

    assert empty.ids(search) == expected.split()


def test_a_complete_uuid_is_equal_and_uses_the_index(empty: Archive) -> None:
    uuid = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
    empty.add(uuid)
    empty.add(f"copy-of-{uuid}")
    empty.add("child", root=uuid, parent=uuid)

    assert empty.ids(f"uuid:{uuid.upper()}") == [uuid]
    assert empty.ids(f"uuid:{uuid},child") == [uuid, "child"]
    assert empty.ids(f"root:{uuid}") == empty.ids(f"parent:{uuid[:9]}") == ["child"]
    assert "INDEX task_key (key=?)" in empty.plan(f"uuid:{uuid}")


@pytest.mark.parametrize(
    ("search", "index"), [("name:x*", "task_name (name_id=?)"), ("state:failed", "task_state (state=?)")]
)
def test_names_and_states_use_their_index(empty: Archive, search: str, index: str) -> None:
    assert index in empty.plan(search)


def test_relative_times_move_on(empty: Archive) -> None:
    moments = iter([1000.0, 1000.0, 2000.0])
    empty.add("task", received=990)
    search = parse("received:>-60s", now=lambda: next(moments))

    assert empty.ids(search) == ["task"]
    assert empty.ids(search) == []


@pytest.mark.parametrize("variant", ["ÄRGER", "ärger", "Ärger", "äRGER"])
def test_case_is_folded_beyond_ascii(empty: Archive, variant: str) -> None:
    empty.add("task", name="wir.Ärger", args="['Große ÄRGER [1] *?']")

    assert empty.ids(variant) == empty.ids(f"name:{variant}") == ["task"]
    assert empty.ids(f'"{variant} [1] *?"') == ["task"]
    assert empty.ids(f"name:*.{variant}") == ["task"]
    assert empty.ids(f"name:{variant}*") == []


def test_wildcards_of_sql_are_text(empty: Archive) -> None:
    empty.add("percent", name="a%b", args="100%")
    empty.add("under", name="a_b", args="snake_case")
    empty.add("other", name="axb", args="100x")

    assert empty.ids("name:%") == empty.ids("100%") == ["percent"]
    assert empty.ids("name:a_b") == empty.ids("snake_") == ["under"]
    assert empty.ids("%") == ["percent"]


def every_field(value: str) -> list[str]:
    return [
        f"{field}:{value}"
        for field in ("name", "worker", "queue", "uuid", "args", "result", "exception", "traceback", "root")
    ]


@pytest.mark.parametrize("make", [str, quote], ids=["plain", "quoted"])
def test_each_text_field_is_its_own(empty: Archive, make: Callable[[str], str]) -> None:
    value = "needle"
    columns: dict[str, Any] = {"args": value, "result": value, "exception": value, "traceback": value, "root": value}
    for column, text in columns.items():
        empty.add(column, **{column: text})
    empty.add("name", name=value)
    empty.add("worker", worker=value)
    empty.add("queue", queue=value)
    empty.add("uuid-needle")

    found = {search.partition(":")[0]: empty.ids(search) for search in every_field(make(value))}
    assert {field: ids for field, ids in found.items() if ids != [field]} == {"uuid": ["uuid-needle"]}


def test_nothing_that_was_typed_becomes_sql(empty: Archive) -> None:
    search = "x' OR 1=1 --name:\"y'); DROP TABLE task;\" kwargs:a'=b' state:z' uuid:w' -result:v'"
    sql = str(parse(search).clause().compile(empty.engine))

    assert "'" not in sql.replace(r"ESCAPE '\'", "")
