"""A keyring of the test's own in place of the system's, in this process and in others that it starts."""

import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

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


_PLACE: Final = "CLOCHE_TEST_KEYRING"


class Served(System):
    """The same in another process, where keyring finds it by its environment: see `serving`."""

    priority = 5

    def get_password(self, service: str, username: str) -> str | None:
        found: str | None = self._said("get", service, username)
        return found

    def set_password(self, service: str, username: str, password: str) -> None:
        self._said("set", service, username, password)

    def delete_password(self, service: str, username: str) -> None:
        self._said("delete", service, username)

    @staticmethod
    def _said(*words: str) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(os.environ[_PLACE])
            connection.sendall(json.dumps(words).encode() + b"\n")
            return json.loads(connection.makefile().readline())


for each in (System, Served):
    each.__module__ = SecretService.Keyring.__module__


@contextmanager
def serving(system: System, place: Path) -> Iterator[dict[str, str]]:
    """Have other processes use this keyring: what they need in their environment. ``place`` is for a socket."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place))
    listener.listen()
    deeds: dict[str, Callable[..., str | None]] = {
        "get": system.get_password,
        "set": system.set_password,
        "delete": system.delete_password,
    }

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                line = connection.makefile().readline()
                if not line:
                    return
                deed, *words = json.loads(line)
                connection.sendall(json.dumps(deeds[deed](*words)).encode() + b"\n")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield {"PYTHON_KEYRING_BACKEND": "tests.helpers.keyrings.Served", _PLACE: str(place)}
    finally:
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(place))
        thread.join()
        listener.close()


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
