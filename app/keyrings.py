"""Passwords in the system's own keyring, and in no other place.

Packages of keyrings may offer backends that write passwords to a file as they are, and are then taken without a
question (SAFETY S02). So only those are used that are known to be the system's; where there is none, a password is
asked for each time.
"""

from typing import Final

import keyring
import keyring.errors
from keyring.backend import KeyringBackend
from keyring.backends.chainer import ChainerBackend

SERVICE: Final = "cloche"
#: Modules of the backends that keep secrets as the system does.
TRUSTED: Final = frozenset(
    f"keyring.backends.{name}" for name in ("SecretService", "kwallet", "libsecret", "macOS", "Windows")
)


class KeyringError(Exception):
    """The keyring does not do what it is asked for; the text is a sentence with what to do."""


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
        except keyring.errors.KeyringError as error:
            raise KeyringError(_refused(error)) from error

    def keep(self, id_: str, password: str) -> None:
        """Keep a password. Raises `KeyringError` where there is no keyring, or it refuses."""
        if self._backend is None:
            raise KeyringError("This system has no keyring, so the password is not kept: it is asked for each time.")
        try:
            self._backend.set_password(SERVICE, id_, password)
        except keyring.errors.KeyringError as error:
            raise KeyringError(_refused(error)) from error

    def forget(self, id_: str) -> None:
        """Remove a password, if there is one. Raises `KeyringError`."""
        if self._backend is None or self.password(id_) is None:
            return
        try:
            self._backend.delete_password(SERVICE, id_)
        except keyring.errors.KeyringError as error:
            raise KeyringError(_refused(error)) from error


def _trusted() -> KeyringBackend | None:
    """The backend that the user or the system chose, if it can be trusted; of several, the best that can."""
    chosen = keyring.get_keyring()
    offered = keyring.backend.get_all_keyring() if isinstance(chosen, ChainerBackend) else [chosen]
    trusted = [backend for backend in offered if type(backend).__module__ in TRUSTED]
    return max(trusted, key=lambda backend: backend.priority, default=None)


def _refused(error: keyring.errors.KeyringError) -> str:
    why = f": {error}" if str(error) else ""
    return f"The system's keyring refused{why}. Unlock it, or enter the password each time."
