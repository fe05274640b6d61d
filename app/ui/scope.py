"""What the pages are about: one broker of the window's, or all of them."""

from PySide6.QtCore import QObject, Signal

from app.models.wire import Health
from app.ui.supervisor import Connection
from app.ui.together import health_of, vital_of
from app.ui.vitals import Vital, Vitals


class Scope(QObject):
    """The brokers of a window in their order, and which of them is chosen.

    Attributes: ``brokers``; ``all`` is whether pages are about all of them. Signals: ``changed`` when pages are to be
    about something else; ``told`` when there is news of any broker.
    """

    changed = Signal()
    told = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.brokers: list[Vitals] = []
        self.all = False
        self._chosen: int | None = None

    @property
    def connections(self) -> list[Connection]:
        """Those that pages are about; none before there is one."""
        return [vitals.connection for vitals in self.shown]

    @property
    def shown(self) -> list[Vitals]:
        """The same, with what is known of each."""
        if self.all:
            return self.brokers
        return [] if self._chosen is None else [self.brokers[self._chosen]]

    @property
    def one(self) -> Connection | None:
        """The connection that pages are about; None where there is none, or where they are about all."""
        return None if self.all or self._chosen is None else self.brokers[self._chosen].connection

    @property
    def place(self) -> int | None:
        """Its place in the list."""
        return None if self.all else self._chosen

    @property
    def health(self) -> Health | None:
        """How what is shown is, together."""
        healths = [vitals.connection.health for vitals in self.shown]
        return health_of(healths) if len(healths) > 1 else next(iter(healths), None)

    @property
    def vital(self) -> Vital | None:
        """What the histories of what is shown hold, together, as far as they were read."""
        known = [vitals.vital for vitals in self.shown if vitals.vital is not None]
        return vital_of(known) if len(known) > 1 else next(iter(known), None)

    def add(self, connection: Connection) -> None:
        """Have one more broker; pages are not about it before it is chosen, unless they are about all."""
        vitals = Vitals(connection, self)
        self.brokers.append(vitals)
        vitals.changed.connect(self.told)
        connection.health_changed.connect(self.told)
        if self.all:
            self.changed.emit()

    def choose(self, place: int) -> None:
        """Let pages be about the broker at a place of the list; one whose collector was given up is tried again."""
        if not 0 <= place < len(self.brokers):
            return
        connection = self.brokers[place].connection
        if connection.given_up:
            connection.start_again()
        if place != self._chosen or self.all:
            self._chosen, self.all = place, False
            self.changed.emit()

    def choose_all(self) -> None:
        """Let pages be about all brokers, if there are several."""
        if not self.all and len(self.brokers) > 1:
            self.all = True
            self.changed.emit()

    def find(self, connection: Connection) -> int:
        """The place of a connection in the list."""
        return [vitals.connection for vitals in self.brokers].index(connection)

    def stop(self) -> None:
        """Read no more: nobody looks at it."""
        for vitals in self.brokers:
            vitals.stop()
