"""Passwords in the system's own keyring, and in no other place.

Packages of keyrings may offer backends that write passwords to a file as they are, and are then taken without a
question (SAFETY S02). So only those are used that are known to be the system's; where there is none, a password is
asked for each time.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Final, cast

import keyring
import keyring.errors
import msgspec
from keyring.backend import KeyringBackend
from keyring.backends.chainer import ChainerBackend

from app.models.profiles import LOCKS, Key, Lock, Profile
from app.models.redact import HIDDEN

SERVICE: Final = "cloche"
NO_KEYRING: Final = "This system has no keyring that can be trusted, so passwords are asked for each time."
#: Modules of the backends that keep secrets as the system does.
TRUSTED: Final = frozenset(
    f"keyring.backends.{name}" for name in ("SecretService", "kwallet", "libsecret", "macOS", "Windows")
)


#: What the systems' own libraries raise that backends pass on, by the module in which it is.
_SYSTEMS: Final = (
    ("secretstorage.exceptions", "SecretStorageException"),
    ("jeepney.wrappers", "DBusErrorResponse"),
    ("dbus.exceptions", "DBusException"),
    ("gi.repository.GLib", "Error"),
    ("win32ctypes.pywin32.pywintypes", "error"),
)


class KeyringError(Exception):
    """The keyring does not do what it is asked for; the text is a sentence with what to do."""


class Looked(msgspec.Struct, frozen=True):
    """Passwords of a connection that were found, and those that its user has to be asked for, with the reason."""

    found: Mapping[Lock, str]
    missing: tuple[Lock, ...]
    why: str


class Keyring:
    """The system's keyring, if there is one that can be trusted."""

    def __init__(self) -> None:
        self._backend = _trusted()

    @property
    def name(self) -> str:
        """What it calls itself; "" where there is none."""
        return "" if self._backend is None else str(self._backend.name)

    def password(self, id_: str) -> str | None:
        """The password kept under an id, or None. Raises `KeyringError` where the keyring is locked or refuses."""
        if self._backend is None:
            return None
        try:
            return self._backend.get_password(SERVICE, id_)
        except _failures() as error:
            raise KeyringError(_refused(error)) from error

    def keep(self, id_: str, password: str) -> None:
        """Keep a password. Raises `KeyringError` where there is no keyring, or it refuses."""
        if self._backend is None:
            raise KeyringError(NO_KEYRING)
        try:
            self._backend.set_password(SERVICE, id_, password)
        except _failures() as error:
            raise KeyringError(_refused(error, password)) from None  # it may quote what it was given

    def forget(self, id_: str) -> None:
        """Remove a password, if there is one. Raises `KeyringError`."""
        if self._backend is None or self.password(id_) is None:
            return
        try:
            self._backend.delete_password(SERVICE, id_)
        except _failures() as error:
            raise KeyringError(_refused(error)) from error


def entry(profile: Profile, lock: Lock) -> str:
    """The id under which a password of a kept connection is in the keyring."""
    return profile.id if lock == "broker" else f"{profile.id}.{lock}"


def look_up(profile: Profile, locks: Iterable[Lock] = LOCKS) -> Looked:
    """Find what passwords a kept connection has for these; may take as long as somebody takes to unlock the keyring."""
    backend, found, why = Keyring(), dict[Lock, str](), ""
    wanted = [lock for lock in locks if lock in profile.passwords]
    for lock in wanted:
        try:
            password = backend.password(entry(profile, lock)) if profile.passwords[lock] == "kept" else None
        except KeyringError as error:
            why = str(error)
            continue
        if password is not None:
            found[lock] = password
    missing = tuple(lock for lock in wanted if lock not in found)
    if missing and not why and not backend.name:
        why = NO_KEYRING
    return Looked(found, missing, why)


def remember(profile: Profile, passwords: Mapping[Lock, str]) -> tuple[dict[Lock, Key], str]:
    """Keep passwords of a connection in the keyring; where each is now, and why not in the keyring if it refused."""
    backend, places, why = Keyring(), dict[Lock, Key](), ""
    for lock, password in passwords.items():
        try:
            backend.keep(entry(profile, lock), password)
            places[lock] = "kept"
        except KeyringError as error:
            why, places[lock] = str(error), "asked"
    return places, why


def forget(profile: Profile, locks: Iterable[Lock] = LOCKS) -> None:
    """Remove passwords of a connection from the keyring. Raises `KeyringError`."""
    backend = Keyring()
    for lock in locks:
        backend.forget(entry(profile, lock))


def _failures() -> tuple[type[Exception], ...]:
    """What a keyring may raise: its own errors, and those of the system's library that it is made of."""
    modules = [(sys.modules.get(module), name) for module, name in _SYSTEMS]
    system = [cast("type[Exception]", getattr(module, name)) for module, name in modules if hasattr(module, name)]
    return keyring.errors.KeyringError, OSError, RuntimeError, *system


def _trusted() -> KeyringBackend | None:
    """The backend that the user or the system chose, if it can be trusted; of several, the best that can."""
    chosen = keyring.get_keyring()
    offered = keyring.backend.get_all_keyring() if isinstance(chosen, ChainerBackend) else [chosen]
    trusted = [backend for backend in offered if type(backend).__module__ in TRUSTED]
    return max(trusted, key=lambda backend: backend.priority, default=None)


def _refused(error: Exception, password: str = "") -> str:
    said = str(error).replace(password, HIDDEN) if password else str(error)
    why = f": {said.rstrip('.')}" if said else ""
    return f"The system's keyring refused{why}. Unlock it, or enter the password each time."
