"""The way in for what applications and other machines know of their brokers: files, and the environment."""

import os
from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QMenu, QToolButton

from app.models.celeryconfig import VARIABLES, Settings, SettingsError, settings_of_environment
from app.models.formats import listed
from app.models.profiles import ProfileError
from app.ui.kept import Kept

_FILES = "Settings and connections (*.py *.json);;All files (*)"


class ImportButton(QToolButton):
    """A menu of what can be imported.

    ``found`` carries the `Settings` of an application, and what they come from; connections that another machine
    exported are kept at once. ``told`` carries a sentence about it, and whether it says that nothing came of it.
    """

    found = Signal(object, str)
    told = Signal(str, bool)

    def __init__(self, kept: Kept, variables: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self._kept = kept
        self.setText("Import")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        menu.addAction("celeryconfig.py, or exported connections …", self._choose)
        self.environment = menu.addAction("The environment of this program")
        self.environment.setToolTip(f"The first of these that is set: {', '.join(VARIABLES)}")
        settings = settings_of_environment(variables)
        self.environment.setEnabled(settings is not None)
        self.environment.triggered.connect(lambda: self.found.emit(settings, "The environment"))
        self.setMenu(menu)

    def take(self, path: Path) -> None:
        """Import a file."""
        self._kept.read_file(path, lambda read: self._read(path, read))

    def _choose(self) -> None:
        dialog = QFileDialog(self, "Import", "", _FILES)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda name: self.take(Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _read(self, path: Path, read: Settings | bytes | SettingsError) -> None:
        if isinstance(read, Settings):
            self.found.emit(read, path.name)
        elif isinstance(read, SettingsError):
            self.told.emit(f"{path.name}: {read}", True)
        else:
            try:
                added = [profile.name for profile in self._kept.take_over(read)]
            except ProfileError as error:
                self.told.emit(f"{path.name}: {error}", True)
            else:
                told = f"{listed(added)}: kept, and under Kept connections now." if added else "there is none in it."
                self.told.emit(f"{path.name}: {told}", not added)


def summary(settings: Settings, unused: list[str], origin: str) -> str:
    """What was taken out of an application's settings, and what was not, in sentences."""
    taken = {
        "the address": True, "a password": settings.password or settings.backend_password,
        "options": settings.options.keys() - {*unused}, "a queue": settings.queues,
    }  # fmt: skip
    text = f"Out of {origin[:1].lower() + origin[1:] if ' ' in origin else origin}: "
    text += f"{', '.join(word for word, given in taken.items() if given)}."
    if unused:
        text += f" Of no use here, and left out: {', '.join(unused)}."
    if settings.unread:
        text += f" Worked out when the application runs, and so not read: {', '.join(settings.unread)}."
    return text
