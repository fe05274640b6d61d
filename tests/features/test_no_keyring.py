"""S02: where nothing can be trusted to keep a password, it is kept nowhere."""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import quote

import keyring
import keyring.backend
import keyring.errors
import pytest
from click.testing import CliRunner
from keyring.backends import fail

from app.cli import cli
from tests.helpers.canary import CANARY, Aviary, found_nothing, locked
from tests.helpers.keyrings import System, made, offer
from tests.helpers.servers import HOST, RedisServer


class Plaintext(keyring.backend.KeyringBackend):
    """What `keyrings.alt` brings: it is preferred to all others, and keeps passwords in a file that anybody reads."""

    priority = 9
    file = Path()

    def get_password(self, service: str, username: str) -> str | None:
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        self.file.write_bytes(base64.encodebytes(f"{service} {username} {password}".encode()))


Plaintext.__module__ = "keyrings.alt.file"


class Denying(System):
    """A keyring whose owner is asked, and says no."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise keyring.errors.PasswordSetError("the prompt was dismissed")


class Locked(System):
    """A keyring that stays locked."""

    locked = True


for each in (Denying, Locked):
    each.__module__ = System.__module__


@pytest.mark.parametrize(
    ("backends", "sentence"),
    [
        ((fail.Keyring,), "has no keyring"),
        ((Locked,), "Unlock it"),
        ((Denying,), "the prompt was dismissed"),
        ((Plaintext,), "has no keyring"),
        ((Plaintext, fail.Keyring), "has no keyring"),
        ((Plaintext, Locked), "Unlock it"),
    ],
    ids=["none", "locked", "denied", "plaintext", "plaintext and none", "plaintext and locked"],
)
def test_s02_without_a_keyring_that_can_be_trusted_no_byte_of_a_password_is_on_the_disk(
    aviary: Aviary, tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch,
    backends: tuple[Any, ...], sentence: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(Plaintext, "file", tmp_path / "keyring_pass.cfg")
    offer(monkeypatch, *map(made, backends))
    for name in ("CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    url = f"redis://:{quote(CANARY, safe='')}@{HOST}:{redis_server.port}/0"
    with locked(redis_server):
        done = CliRunner().invoke(cli, ["profiles", "add", "shop", url])
        assert (done.exit_code, sentence in done.stderr) == (0, True), done.stderr
        aviary.listen("what is said", done.output)
        # The connection is kept; who connects is told what is missing, and may give it each time.
        done = CliRunner().invoke(cli, ["queues", "shop"])
        assert done.exit_code == 1
        aviary.listen("what is said", done.output)
        assert CliRunner().invoke(cli, ["queues", url]).exit_code == 0
        assert CliRunner().invoke(cli, ["record", url, "--for", "1s"]).exit_code == 0
    found_nothing(aviary, "what is said", "profiles.json", ".cloche")


def test_s02_a_plaintext_keyring_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plaintext, "file", tmp_path / "keyring_pass.cfg")
    with Aviary(tmp_path, CANARY) as aviary:
        made(Plaintext).set_password("cloche", "shop", CANARY)
    assert aviary.hits == {"base64 in file keyring_pass.cfg"}
