"""A JSON text as a tree of names and values, all of it plain text."""

from typing import Any, Final

import msgspec
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem

from app.models.qt.plain import one_line, plain_tip
from app.ui import fonts

#: Values shown; a worker's statistics have some dozens.
MOST: Final = 2000


class JsonTree(QTreeWidget):
    """Names left, values right; Ctrl+C copies the current line."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._text: str | None = None
        self._left = MOST
        self.setAccessibleName(name)
        self.setColumnCount(2)
        self.setHeaderHidden(True)
        self.setUniformRowHeights(True)
        self.setIndentation(16)
        self.setStyleSheet("QTreeView::item { padding: 3px 0; }")
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.header().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.header().setStretchLastSection(True)

    def show_json(self, text: str) -> None:
        """Show what a JSON text holds; what was unfolded is folded only when the text is another one."""
        if text == self._text:
            return
        self._text, self._left = text, MOST
        self.clear()
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError:
            value = {"not JSON": text}
        self._add(self.invisibleRootItem(), value)
        self.expandToDepth(0)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        item = self.currentItem()
        if event.matches(QKeySequence.StandardKey.Copy) and item is not None:
            QGuiApplication.clipboard().setText(f"{item.text(0)}\t{item.text(1)}".rstrip("\t"))
        else:
            super().keyPressEvent(event)

    def _add(self, parent: QTreeWidgetItem, value: Any) -> None:
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, child in children:
            if self._left == 0:
                return
            self._left -= 1
            inner = isinstance(child, dict | list)
            text = "" if inner and child else one_line(_shown(child))
            item = QTreeWidgetItem(parent, [one_line(str(name)), text])
            item.setFont(1, fonts.mono_font())
            item.setToolTip(1, plain_tip(text))
            if inner:
                self._add(item, child)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
