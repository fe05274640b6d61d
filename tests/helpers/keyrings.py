"""A keyring of the test's own in place of the system's."""

import sys
from types import ModuleType
from typing import Any

import keyring
import keyring.backend
import keyring.errors
import pytest
from keyring.backends import SecretService, chainer


class Foreign(Exception):
    """What the library raises that the system's keyring is reached by, see `offer`."""


class System(SecretService.Keyring):
    """The system's keyring, as far as anybody can tell from outside."""

    kept: dict[tuple[str, str], str]
    locked = False
    #: What it raises in place of any answer.
    failure: Exception | None = None
    priority = 5

    def __init__(self) -> None:
        self.kept = {}
        self.forgotten: list[str] = []

    def get_password(self, service: str, username: str) -> str | None:
        self._open()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._open()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._open()
        del self.kept[service, username]
        self.forgotten.append(username)

    def _open(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self.locked:
            raise keyring.errors.KeyringLocked("the collection is locked")


System.__module__ = SecretService.Keyring.__module__


def made(kind: Any) -> keyring.backend.KeyringBackend:
    """Keyrings know no types."""
    backend: keyring.backend.KeyringBackend = kind()
    return backend


def offer(monkeypatch: pytest.MonkeyPatch, *backends: keyring.backend.KeyringBackend) -> None:
    """These are installed; of several, none was chosen by the user. One may raise `Foreign`."""
    library = ModuleType("secretstorage.exceptions")
    library.SecretStorageException = Foreign  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, library.__name__, library)
    chosen = backends[0] if len(backends) == 1 else made(chainer.ChainerBackend)
    monkeypatch.setattr(keyring.backend, "get_all_keyring", lambda: list(backends))
    monkeypatch.setattr(keyring, "get_keyring", lambda: chosen)
