"""One table over those of several brokers."""

from PySide6.QtCore import Qt

from app.models.qt.across import AcrossModel, Side
from app.models.qt.table import Cell, Header, RecordTableModel, Role


class Fruits(RecordTableModel[str]):
    """Fruits, and how much each costs where it is sold."""

    def __init__(self, price: int = 0) -> None:
        super().__init__(2, str)
        self.price = price

    def header(self, column: int) -> Header:
        return Header(("Fruit", "Price")[column])

    def cell(self, record: str, column: int) -> Cell:
        return Cell((record, f"{len(record) * self.price}")[column], (record, len(record) * self.price)[column])


def shown(model: AcrossModel[str]) -> list[tuple[str, ...]]:
    return [tuple(str(model.index(row, at).data()) for at in range(3)) for row in range(model.rowCount())]


def two() -> tuple[AcrossModel[str], Fruits, Fruits]:
    cheap, dear, model = Fruits(1), Fruits(10), AcrossModel(Fruits())
    cheap.replace(["fig", "apple"])
    dear.replace(["fig"])
    model.set_sides([Side("market", "", cheap), Side("airport", "failed", dear)])
    model.show()
    return model, cheap, dear


def test_each_row_is_shown_by_its_own_model_behind_the_name_of_its_broker() -> None:
    model, _, _ = two()
    assert shown(model) == [("market", "fig", "3"), ("market", "apple", "5"), ("airport", "fig", "30")]
    assert model.headerData(0, Qt.Orientation.Horizontal) == "Broker"
    assert model.headerData(2, Qt.Orientation.Horizontal) == "Price"
    assert model.index(2, 0).data(Role.TONE) == "failed"


def test_rows_of_the_same_name_are_told_apart() -> None:
    model, _, _ = two()
    assert [model.index(row, 0).data(Role.KEY) for row in range(3)] == [(0, "fig"), (0, "apple"), (1, "fig")]
    assert [model.index(row, 0).data(Role.NAME) for row in range(3)] == ["fig", "apple", "fig"]


def test_an_order_holds_over_all_of_them() -> None:
    model, _, _ = two()
    model.show(order=lambda fruit: fruit)
    assert [row[1] for row in shown(model)] == ["apple", "fig", "fig"]


def test_what_changes_with_time_is_said_to_have_changed() -> None:
    model, cheap, _ = two()
    told: list[tuple[int, int]] = []
    model.dataChanged.connect(lambda first, last: told.append((first.column(), last.row())))
    cheap.price = 2
    model.show(changing=(1,))
    assert told == [(2, 2)]
    assert shown(model)[0] == ("market", "fig", "6")


def test_other_sides_begin_empty() -> None:
    model, _, dear = two()
    model.set_sides([Side("airport", "", dear)])
    assert not shown(model)
    model.show()
    assert shown(model) == [("airport", "fig", "30")]
