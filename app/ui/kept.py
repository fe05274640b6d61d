"""The connections that the user has kept, and their passwords in the system's keyring, as the window needs them."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from app.keyrings import Keyring, KeyringError
from app.models.profiles import Profile, ProfileError, Profiles
from app.models.target import target_of_profile


class Kept(QObject):
    """Profiles with their passwords.

    ``said`` is what is wrong with the file, as a sentence, ``usable`` whether a connection can be kept in it.
    ``changed``: there are others now. ``opened`` carries the `Target` of one that is to be connected to, ``troubled``
    a sentence about what did not succeed.
    """

    changed = Signal()
    opened = Signal(object)
    troubled = Signal(str)

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path = path
        self._tasks: set[asyncio.Task[None]] = set()
        self.said = ""
        self.usable = True
        self.all: list[Profile] = []
        try:
            self._take(self._read())
        except ProfileError as error:
            self.said, self.usable = str(error), False

    @property
    def keyring(self) -> str:
        """What the system's keyring calls itself; "" where there is none."""
        return Keyring().name

    def keep(self, profile: Profile, password: str | None, *, remember: bool) -> None:
        """Keep a connection, with its password in the keyring if that is wanted, and open it. Raises `ProfileError`."""
        # Read again: the command line, or another window, may have kept others meanwhile.
        known = self._read()
        known.put(profile)
        self._take(known)
        self.changed.emit()
        if password is None or not remember:
            self.opened.emit(target_of_profile(profile, password))
        else:
            self._spawn(self._remember(profile, password))

    def open(self, profile: Profile) -> None:
        """Find the password of one, and open it."""
        self._spawn(self._look_up(profile))

    async def settled(self) -> None:
        """Until no keyring is being asked."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _read(self) -> Profiles:
        return Profiles(self._path)

    def _take(self, known: Profiles) -> None:
        self.said, self.all = known.said, known.all

    async def _remember(self, profile: Profile, password: str) -> None:
        try:
            await asyncio.to_thread(Keyring().keep, profile.id, password)
        except KeyringError as error:
            self.troubled.emit(f"The password of {profile.name} is not kept. {error}")
        self.opened.emit(target_of_profile(profile, password))

    async def _look_up(self, profile: Profile) -> None:
        # In a thread: a keyring that is locked asks its owner first.
        password = None
        try:
            password = await asyncio.to_thread(Keyring().password, profile.id)
        except KeyringError as error:
            self.troubled.emit(str(error))
        self.opened.emit(target_of_profile(profile, password))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
