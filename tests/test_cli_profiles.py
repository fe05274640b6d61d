"""`cloche profiles`, and every command that takes a profile for an address."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from app.cli import cli
from app.paths import profiles_file
from tests.helpers.keyrings import System, offer
from tests.helpers.servers import RedisServer

SECRET = "canary-password"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A user of his own, with a keyring."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    made = System()
    offer(monkeypatch, made)
    return made


@pytest.fixture
def locked() -> Iterator[RedisServer]:
    """A Redis that wants the secret."""
    with RedisServer("--requirepass", SECRET) as server:
        yield server


def cloche(*words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(cli, words, input=typed)


def kept() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cloche("profiles", "list", "--json").stdout)
    return found


def test_a_connection_is_kept_without_its_password_and_used_by_its_name(system: System) -> None:
    with RedisServer("--requirepass", SECRET) as server, Redis(port=server.port, password=SECRET) as client:
        client.lpush("shop:mail", "x")
        address = f"redis://:{SECRET}@127.0.0.1:{server.port}/0"
        done = cloche(
            "profiles", "add", "Shop", address, "--option", "global_keyprefix=shop:", "--queue", "mail",
            "--mode", "passive", "--environment", "production", "--keep", "forever", "--keep-size", "1GB",
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert "Its password is in the system's keyring." in done.stderr
        (profile,) = kept()
        assert list(system.kept.values()) == [SECRET]
        assert SECRET not in profiles_file().read_text() + done.output
        assert profile["url"] == f"redis://127.0.0.1:{server.port}/0"
        assert (profile["mode"], profile["keep_seconds"], profile["keep_bytes"]) == ("passive", None, 10**9)
        (queue,) = json.loads(cloche("queues", "shop", "--json").stdout)
        assert (queue["name"], queue["ready"]) == ("mail", 1)
        findings = {each["name"]: each for each in json.loads(cloche("doctor", "shop", "--json").stdout)}
        assert findings["sign in"]["ok"] is True
        assert findings["workers"]["text"] == "they are not asked in passive mode."
        assert cloche("profiles", "remove", "shop").exit_code == 0
        assert (kept(), system.kept) == ([], {})


def test_a_password_may_be_typed_and_is_not_shown(system: System) -> None:
    done = cloche("profiles", "add", "shop", "redis://h", "--ask-password", typed=f"{SECRET}\n")
    assert done.exit_code == 0, done.output
    assert list(system.kept.values()) == [SECRET]
    assert SECRET not in done.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("add", "x", f"redis://:{SECRET}@h/notanumber"), "'notanumber'"),
        (("add", "x", "ftp://h"), "'ftp' brokers are not supported"),
        (("add", "x", "redis://h", "--option", "nonsense=1"), "'nonsense' is not known"),
        (("add", " ", "redis://h"), "needs a name"),
        (("remove", "nobody"), "no profile 'nobody'"),
    ],
)
def test_what_makes_no_profile_is_refused_in_a_sentence(system: System, words: tuple[str, ...], sentence: str) -> None:
    done = cloche("profiles", *words)
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert SECRET not in done.output
    assert (kept(), system.kept) == ([], {})


def test_a_keyring_that_is_locked_is_said_where_the_password_is_needed(system: System) -> None:
    cloche("profiles", "add", "shop", f"redis://:{SECRET}@h")
    system.locked = True
    done = cloche("queues", "shop")
    assert done.exit_code == 1
    assert "Unlock it" in done.stderr


def test_profiles_go_to_another_machine_and_back_without_secrets(system: System, tmp_path: Path) -> None:
    cloche("profiles", "add", "shop", f"redis://:{SECRET}@h", "--colour", "#e5484d")
    exported = tmp_path / "profiles.json"
    assert cloche("profiles", "export", "-o", str(exported)).exit_code == 0
    assert SECRET not in exported.read_text()
    assert cloche("profiles", "import", str(exported)).exit_code == 0
    assert [(each["name"], each["colour"]) for each in kept()] == [("shop", "#e5484d"), ("shop 2", "#e5484d")]
    exported.write_text("nonsense")
    done = cloche("profiles", "import", str(exported))
    assert (done.exit_code, len(kept())) == (1, 2)
    assert "no file of profiles" in done.stderr


def test_the_broker_of_an_application_is_imported_and_nothing_of_it_run(system: System, tmp_path: Path) -> None:
    settings, marker = tmp_path / "celeryconfig.py", tmp_path / "run"
    settings.write_text(
        f"open({str(marker)!r}, 'w')\nbroker_url = 'redis://:{SECRET}@h/2'\n"
        "broker_transport_options = {'global_keyprefix': 'shop:', 'visibility_timeout': 60}\n"
        "result_backend = make()\ntask_default_queue = 'mail'\n"
    )
    done = cloche("profiles", "import", str(settings), "--name", "shop")
    assert done.exit_code == 0, done.output
    (profile,) = kept()
    assert (profile["name"], profile["url"], profile["queues"]) == ("shop", "redis://h/2", ["mail"])
    assert profile["options"] == {"global_keyprefix": "shop:"}
    assert list(system.kept.values()) == [SECRET]
    assert "left out: visibility_timeout" in done.stderr
    assert "so not read: result_backend" in done.stderr
    assert SECRET not in done.output
    assert not marker.exists()


def test_where_there_is_no_keyring_the_connection_is_kept_and_its_password_is_asked_for(
    locked: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    url = f"redis://:{SECRET}@127.0.0.1:{locked.port}/0"
    done = cloche("profiles", "add", "shop", url)
    assert done.exit_code == 0
    assert "asked for each time" in done.stderr
    assert all(SECRET.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    done = cloche("queues", "shop")
    assert done.exit_code == 1
    assert "no keyring that can be trusted" in done.stderr
    assert "there is no terminal to ask for it. Pass it on standard input with --password-stdin." in done.stderr
    done = cloche("queues", "shop", "--password-stdin", typed="wrong\n")
    assert "refused the sign-in" in done.stderr
    done = cloche("queues", "shop", "--password-stdin", typed=f"{SECRET}\n")
    assert done.exit_code == 0, done.output
    assert SECRET not in done.output
