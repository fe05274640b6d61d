"""What all dialogs have that lead to an act: an edge in the colour of the environment, and whose broker it is about."""

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.models.profiles import Environment
from app.models.qt.plain import one_line
from app.models.redact import redact_url
from app.ui import words
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets.edge import Edge
from app.ui.widgets.labels import ElidedLabel, PlainLabel

MARGIN: Final = 20
#: Characters of a title.
_TITLE: Final = 160
#: What is said of an environment that nobody named: it may be production.
_UNNAMED: Final = "ENVIRONMENT NOT NAMED"


class Framed(QDialog):
    """A dialog with an upper edge in the colour of an environment, and all around it in red where that is production.

    Attributes: ``inside`` is where its parts go, ``hot`` whether it is production, or may be.
    """

    def __init__(self, parent: QWidget, theme: ThemeManager, environment: Environment) -> None:
        super().__init__(parent)
        self._theme = theme
        self.hot = environment in ("production", "unknown")
        edge = Edge(theme)
        edge.set_token("production" if self.hot else words.ENVIRONMENTS[environment][0])
        self.inside = QVBoxLayout()
        self.inside.setContentsMargins(MARGIN, 14, MARGIN, 16)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(edge)
        whole.addLayout(self.inside, 1)
        theme.changed.connect(self.update)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        painter.fillRect(self.rect(), self._theme.theme.colour("panel"))
        painter.setPen(QPen(self._theme.theme.colour("production" if self.hot else "line"), 1))
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))


class ActHeader(QWidget):
    """What is to be done, and to which broker: its name, environment and address."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        profile = connection.profile
        self._title = PlainLabel(role="title")
        self._title.setWordWrap(True)
        name = ElidedLabel(one_line(profile.name), role="strong", mode=Qt.TextElideMode.ElideMiddle)
        tag = PlainLabel(words.ENVIRONMENTS[profile.environment][1] or _UNNAMED, role="tag")
        tag.setProperty("environment", profile.environment)
        address = ElidedLabel(redact_url(profile.url), role="small", mode=Qt.TextElideMode.ElideMiddle)
        where = QHBoxLayout()
        where.setSpacing(8)
        where.addWidget(name)
        where.addWidget(tag)
        where.addWidget(address, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self._title)
        column.addLayout(where)

    def say(self, title: str) -> None:
        """Say what is to be done."""
        self._title.setText(one_line(title, _TITLE))

    @property
    def title(self) -> str:
        """What it says is to be done."""
        return self._title.text()
