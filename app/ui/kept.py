"""The connections that the user has kept, and their passwords in the system's keyring, as the window needs them."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec
from PySide6.QtCore import QObject, Signal

from app import keyrings
from app.keyrings import Keyring, KeyringError, Looked
from app.models import celeryconfig
from app.models.celeryconfig import Settings, SettingsError
from app.models.profiles import Key, Lock, Profile, ProfileError, Profiles
from app.models.target import target_of_profile


class Kept(QObject):
    """Profiles with their passwords.

    ``said`` is what is wrong with the file, as a sentence, ``usable`` whether a connection can be kept in it.
    ``changed``: there are others now. ``opened`` carries the `Target` of one that is to be connected to, ``edited``
    that of one with other settings than before, and ``asked`` a `Profile` and what was `Looked` up of it: its user has
    to say a password. ``troubled`` carries a sentence about what did not succeed.
    """

    changed = Signal()
    opened = Signal(object)
    edited = Signal(object)
    asked = Signal(object, object)
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

    def find(self, id_: str) -> Profile | None:
        """The profile with an id."""
        return next((profile for profile in self.all if profile.id == id_), None)

    def keep(self, profile: Profile, passwords: Mapping[Lock, str], *, remember: bool) -> None:
        """Keep a connection, and the passwords said of it in the keyring if that is wanted; then open it.

        Where it was kept before it is `edited`, and opened by whom it concerns. A password that is not said stays where
        ``profile.passwords`` says that it is. Raises `ProfileError`.
        """
        before = self.find(profile.id)
        # Until the keyring has them, they are with the user.
        places: dict[Lock, Key] = dict.fromkeys(passwords, "asked")
        profile = msgspec.structs.replace(profile, passwords=profile.passwords | places)
        self._put(profile)
        wanted = passwords if remember else {}
        self._settle(profile, wanted, [] if before is None else [
            lock for lock, place in before.passwords.items()
            if place == "kept" and profile.passwords.get(lock) != "kept" and lock not in wanted
        ])  # fmt: skip
        target = target_of_profile(profile, passwords)
        (self.opened if before is None else self.edited).emit(target)

    def sign_in(self, profile: Profile, passwords: Mapping[Lock, str], *, remember: bool | None) -> None:
        """Open one with passwords that were said, and keep those if that is wanted.

        Where that is None they are for now, and what is known of them stays.
        """
        places: dict[Lock, Key] = dict.fromkeys(passwords, "asked")
        places = profile.passwords | places if remember is not None else places | profile.passwords
        if places != profile.passwords:
            try:
                self._put(msgspec.structs.replace(profile, passwords=places))
            except ProfileError as error:
                self.troubled.emit(str(error))
        self._settle(profile, passwords if remember else {}, [] if remember is not False else list(passwords))
        self.opened.emit(target_of_profile(profile, passwords))

    def open(self, profile: Profile) -> None:
        """Find the passwords of one, and open it, or have them asked for."""
        self.look_up(profile, lambda looked: self._found(profile, looked))

    def look_up(self, profile: Profile, then: Callable[[Looked], None]) -> None:
        """Find its passwords, which may take as long as the keyring's owner takes to unlock it."""
        if profile.passwords:
            self._spawn(self._look_up(profile, then))
        else:
            then(Looked({}, (), ""))

    def forget(self, profile: Profile) -> None:
        """Forget a connection and its passwords; what was recorded of it stays. Raises `ProfileError`."""
        known = self._read()
        known.remove(profile)
        self._take(known)
        self.changed.emit()
        self._settle(profile, {}, list(profile.passwords))

    def take_over(self, exported: bytes) -> list[Profile]:
        """Keep connections that another machine exported; returns them. Raises `ProfileError`."""
        known = self._read()
        added = known.take_over(exported)
        self._take(known)
        self.changed.emit()
        return added

    async def settled(self) -> None:
        """Until no keyring is being asked."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def read_file(self, path: Path, then: Callable[[Settings | bytes | SettingsError], None]) -> None:
        """Read a file to import, see `celeryconfig.read_file`; it may be on a disk that takes its time."""
        self._spawn(self._read_file(path, then))

    async def _read_file(self, path: Path, then: Callable[[Settings | bytes | SettingsError], None]) -> None:
        try:
            then(await asyncio.to_thread(celeryconfig.read_file, path))
        except SettingsError as error:
            then(error)

    def _found(self, profile: Profile, looked: Looked) -> None:
        if looked.missing:
            self.asked.emit(profile, looked)
        else:
            self.opened.emit(target_of_profile(profile, looked.found))

    def _put(self, profile: Profile) -> None:
        # Read again: the command line, or another window, may have kept others meanwhile.
        known = self._read()
        known.put(profile)
        self._take(known)
        self.changed.emit()

    def _read(self) -> Profiles:
        return Profiles(self._path)

    def _take(self, known: Profiles) -> None:
        self.said, self.all = known.said, known.all

    async def _look_up(self, profile: Profile, then: Callable[[Looked], None]) -> None:
        then(await asyncio.to_thread(keyrings.look_up, profile))

    def _settle(self, profile: Profile, wanted: Mapping[Lock, str], unwanted: list[Lock]) -> None:
        """Have the keyring hold what is wanted there, and no more what is not."""
        if unwanted:
            self._spawn(self._remove(profile, unwanted))
        if wanted:
            self._spawn(self._remember(profile, wanted))

    async def _remove(self, profile: Profile, locks: list[Lock]) -> None:
        try:
            await asyncio.to_thread(keyrings.forget, profile, locks)
        except KeyringError as error:
            self.troubled.emit(f"The password of {profile.name} is still in the keyring. {error}")

    async def _remember(self, profile: Profile, wanted: Mapping[Lock, str]) -> None:
        places, why = await asyncio.to_thread(keyrings.remember, profile, wanted)
        if why:
            self.troubled.emit(f"The password of {profile.name} is not kept. {why}")
        now = self.find(profile.id)
        if now is not None and now.passwords | places != now.passwords:
            try:
                self._put(msgspec.structs.replace(now, passwords=now.passwords | places))
            except ProfileError as error:
                self.troubled.emit(str(error))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
