"""Which columns of the table of tasks are shown where, and how wide; in the order of `app.models.qt.tasks.Column`."""

from typing import Final

from app.ui.widgets.table import Width

_HIDDEN: Final = Width(0)

#: On the page of tasks.
ALL: Final = (
    Width(103),
    Width(138, weight=3),
    Width(112, weight=5, rank=6),
    Width(85, weight=1, rank=4),
    Width(82, weight=2, rank=5, full=136),
    Width(72, rank=2, full=98),
    Width(82, rank=1),
    Width(80),
    Width(28, rank=3),
    Width(110, weight=2, rank=7),
)

#: In the inspector of a worker.
FEW: Final = (
    Width(103),
    Width(110, weight=1),
    _HIDDEN,
    _HIDDEN,
    _HIDDEN,
    Width(96, rank=1),
    _HIDDEN,
    Width(72),
    _HIDDEN,
    _HIDDEN,
)
