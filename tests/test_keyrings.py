"""S02: passwords go into the system's keyring, or nowhere."""

from typing import Any

import keyring
import keyring.backend
import keyring.errors
import pytest
from keyring.backends import fail

from app.keyrings import SERVICE, Keyring, KeyringError
from tests.helpers.keyrings import System, made, offer

SECRET = "canary-password"


class Plaintext(keyring.backend.KeyringBackend):
    """What `keyrings.alt` brings: it is preferred, and writes passwords to a file."""

    priority = 9

    def get_password(self, service: str, username: str) -> str | None:
        raise AssertionError("it was asked for a password")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise AssertionError("it was given a password")


Plaintext.__module__ = "keyrings.alt.file"


def test_a_password_is_kept_found_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System()
    offer(monkeypatch, system)
    found = Keyring()
    assert found.name
    assert found.password("shop") is None
    found.keep("shop", SECRET)
    assert system.kept == {(SERVICE, "shop"): SECRET}
    assert found.password("shop") == SECRET
    found.forget("shop")
    found.forget("shop")
    assert system.kept == {}


@pytest.mark.parametrize("backends", [(fail.Keyring,), (Plaintext,), (Plaintext, fail.Keyring)])
def test_s02_where_nothing_can_be_trusted_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, backends: tuple[Any, ...]
) -> None:
    offer(monkeypatch, *map(made, backends))
    found = Keyring()
    assert found.name == ""
    assert found.password("shop") is None
    found.forget("shop")
    with pytest.raises(KeyringError, match="asked for each time"):
        found.keep("shop", SECRET)


def test_s02_of_several_the_systems_own_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System()
    offer(monkeypatch, made(Plaintext), system, made(fail.Keyring))
    Keyring().keep("shop", SECRET)
    assert system.kept == {(SERVICE, "shop"): SECRET}


def test_s02_a_backend_that_the_user_chose_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring.backend, "get_all_keyring", lambda: [System()])
    monkeypatch.setattr(keyring, "get_keyring", lambda: made(fail.Keyring))
    assert Keyring().name == "", "he wants none"


def test_s02_a_keyring_that_is_locked_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System()
    offer(monkeypatch, system)
    found = Keyring()
    found.keep("shop", SECRET)
    system.locked = True
    said = r"locked\. Unlock it"
    with pytest.raises(KeyringError, match=said):
        found.password("shop")
    with pytest.raises(KeyringError, match=said):
        found.keep("shop", SECRET)
    with pytest.raises(KeyringError, match=said):
        found.forget("shop")
