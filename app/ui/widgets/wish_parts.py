"""Parts of an act's dialog in which its wish is edited: arguments, another queue, a copy of what is purged."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.models.acts import Plan, Wish


class WishPart(QWidget):
    """Edits one side of a wish. ``changed``: `edited` gives another one, which has to be planned anew.

    One that is ``small`` stands by the buttons, always in sight; any other is shown with the plan, and needs width.
    """

    changed = Signal()
    small: ClassVar[bool] = True

    @property
    def complete(self) -> bool:
        """Whether the wish can be planned as it is edited now."""
        return True

    def edited(self, wish: Any) -> Any:
        """The wish with what is edited here; all else of it stays."""
        raise NotImplementedError


#: Makes a part of plan and wish, and of the part that it made for the plan before; None where there is nothing to edit.
Make = Callable[[Plan, Any, WishPart | None], WishPart | None]
#: What makes the parts of each kind of wish.
Extras = Mapping[type, Sequence[Make]]
NO_EXTRAS: Final[Extras] = MappingProxyType({})


class WishParts(QObject):
    """All parts of one dialog. Small ones are put on top of ``below``, others behind ``plan`` in ``body``."""

    changed = Signal()

    def __init__(self, extras: Extras, body: QVBoxLayout, plan: QWidget, below: QVBoxLayout) -> None:
        super().__init__(plan)
        self._extras, self._body, self._plan, self._below = extras, body, plan, below
        self._parts: list[WishPart | None] = []

    @property
    def complete(self) -> bool:
        """Whether the wish can be planned as it is edited now."""
        return all(part.complete for part in self._shown)

    @property
    def wide(self) -> bool:
        """Whether one of them needs width."""
        return any(not part.small for part in self._shown)

    def edited(self, wish: Wish | None) -> Wish | None:
        """The wish as all parts have it now."""
        for part in self._shown:
            wish = part.edited(wish)
        return wish

    def show_plan(self, plan: Plan, wish: Wish | None) -> None:
        """Have the parts of another plan; each may take over what was written in the one before it."""
        makes = self._extras.get(type(wish), ())
        before = self._parts or [None] * len(makes)
        self._parts = [make(plan, wish, was) for make, was in zip(makes, before, strict=True)]
        for part in filter(None, before):
            part.hide()
            (self._below if part.small else self._body).removeWidget(part)
            part.deleteLater()
        for part in self._shown:
            part.changed.connect(self.changed)
            if not part.small:
                self._body.insertWidget(self._body.indexOf(self._plan) + 1, part)
        for place, part in enumerate(part for part in self._shown if part.small):
            self._below.insertWidget(place, part)

    def set_visible(self, *, on: bool) -> None:
        """Show them, or none."""
        for part in self._shown:
            part.setVisible(on)

    def holds(self, widget: QWidget | None) -> bool:
        """Whether a widget belongs to one of them."""
        return widget is not None and any(part.isAncestorOf(widget) for part in self._shown)

    @property
    def _shown(self) -> list[WishPart]:
        return [part for part in self._parts if part is not None]
