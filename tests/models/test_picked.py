from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from app.models.picked import Picked, export_picked
from tests.ui.histories import History, received

NOW = 1795230300.0


@pytest.fixture
def history(tmp_path: Path) -> Iterator[Path]:
    """Tasks t0 to t5, seen in this order, ten seconds apart; every other one is of the name b."""
    made = History(tmp_path / "h.cloche")
    for number in range(6):
        made.fold(received(f"t{number}", NOW + 10 * number, name="ab"[number % 2]))
    made.commit(NOW + 60)
    yield made.path
    made.close()


def written(path: Path) -> list[str]:
    return [msgspec.json.decode(line)["uuid"] for line in path.read_text().splitlines()]


def test_tasks_are_written_in_the_order_they_were_picked_in(history: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert export_picked(history, Picked(["t4", "gone", "t1"]), out) == 2
    assert written(out) == ["t4", "t1"]


def test_all_that_a_search_finds_in_its_span_is_written(history: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert export_picked(history, Picked(search="name:b", since=NOW + 20, until=NOW + 40), out) == 1
    assert written(out) == ["t3"]
    assert export_picked(history, Picked(search="name:b", since=NOW), out) == 3


def test_a_file_that_is_called_so_is_csv(history: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.CSV"
    export_picked(history, Picked(["t0"]), out)
    assert out.read_text().startswith("uuid,name,state,")
