"""All pages of a window by their names: those over one broker, and those over all."""

from typing import Final

from PySide6.QtCore import QObject

from app import paths
from app.ui.live import TimeRange, View
from app.ui.pages.across import AcrossQueues, AcrossWorkers
from app.ui.pages.across_overview import AcrossOverview
from app.ui.pages.across_tasks import AcrossTasks
from app.ui.pages.activity import ActivityPage
from app.ui.pages.overview import OverviewPage
from app.ui.pages.queues import QueuesPage
from app.ui.pages.tasks import TasksPage
from app.ui.pages.workers import WorkersPage
from app.ui.theme import ThemeManager
from app.ui.widgets.sidebar import PageEntry

PAGES: Final = (
    PageEntry("overview", "Overview", "layout-dashboard", "Alt+1"),
    PageEntry("tasks", "Tasks", "list-checks", "Alt+2"),
    PageEntry("workers", "Workers", "server", "Alt+3"),
    PageEntry("queues", "Queues", "layers", "Alt+4"),
    PageEntry("activity", "Activity", "history", "Alt+5"),
)
TITLES: Final = {entry.name: entry.title for entry in PAGES}

Across = AcrossOverview | AcrossTasks | AcrossQueues | AcrossWorkers | ActivityPage


class AllPages(QObject):
    """Attributes: ``one`` are the pages over one broker, ``across`` those over all; some have names of their own."""

    def __init__(self, theme: ThemeManager, time_range: TimeRange, parent: QObject) -> None:
        super().__init__(parent)
        self.overview, self.tasks = OverviewPage(theme, time_range), TasksPage(theme, time_range)
        self.workers, self.queues = WorkersPage(theme, time_range), QueuesPage(theme, time_range)
        self.activity = ActivityPage(theme, time_range, paths.audit_file())
        self.all_overview, self.all_tasks = AcrossOverview(theme, time_range), AcrossTasks(theme, time_range)
        self.one: dict[str, View] = {
            "overview": self.overview,
            "tasks": self.tasks,
            "workers": self.workers,
            "queues": self.queues,
            "activity": self.activity,
        }
        self.across: dict[str, Across] = {
            "overview": self.all_overview,
            "tasks": self.all_tasks,
            "workers": AcrossWorkers(theme, time_range),
            "queues": AcrossQueues(theme, time_range),
            "activity": ActivityPage(theme, time_range, paths.audit_file(), across=True),
        }

    @property
    def each(self) -> list[View]:
        """All of them."""
        return [*self.one.values(), *self.across.values()]

    def carry_search(self, *, to_all: bool) -> None:
        """What was searched for on one broker is searched for on all, and the other way round."""
        was, comes = (self.tasks, self.all_tasks) if to_all else (self.all_tasks, self.tasks)
        if was.search_text != comes.search_text:
            comes.search_for(was.search_text)
