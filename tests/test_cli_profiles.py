"""`cloche profiles`, and every command that takes a profile for an address."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from app.cli import cli
from app.models.celeryconfig import VARIABLES
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


def cloche(*words: str, input_: str | None = None) -> Result:
    return CliRunner().invoke(cli, words, input=input_)


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
    done = cloche("profiles", "add", "shop", "redis://h", "--ask-password", input_=f"{SECRET}\n")
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
        (("add", "x", "redis://h", "--colour", "red"), "written like #e5484d"),
        (("add", "x", "redis://h", "--option", f"result_backend=ftp://:{SECRET}@h"), "can be a Redis only"),
        (("add", "x", "amqp://h", "--option", f"management_url=http://u:{SECRET}@h"), "leave user and password out"),
        (("remove", "nobody"), "no profile 'nobody'"),
        (("import",), "Name a file"),
    ],
)
def test_what_makes_no_profile_is_refused_in_a_sentence(system: System, words: tuple[str, ...], sentence: str) -> None:
    done = cloche("profiles", *words)
    assert done.exit_code in (1, 2)
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
    done = cloche("queues", "shop", "--password-stdin", input_="wrong\n")
    assert "refused the sign-in" in done.stderr
    done = cloche("queues", "shop", "--password-stdin", input_=f"{SECRET}\n")
    assert done.exit_code == 0, done.output
    assert SECRET not in done.output


def test_f35_who_sits_at_a_terminal_is_asked_for_a_password_that_is_kept_nowhere(
    system: System, locked: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"redis://:{SECRET}@127.0.0.1:{locked.port}/0"
    assert cloche("profiles", "add", "shop", url).exit_code == 0
    system.kept.clear()
    answer = typed(SECRET, "queues", "shop")
    assert "Password of shop:" in answer
    assert "There are no queues." in answer
    assert SECRET not in answer
    assert "refused the sign-in" in typed("wrong", "queues", "shop")


def typed(password: str, *words: str) -> str:
    """What a command prints on a terminal, at which a password is typed when it is asked for."""
    main, other = pty.openpty()
    with subprocess.Popen([sys.executable, "-m", "app", *words], stdin=other, stdout=other, stderr=other,
                          start_new_session=True) as process:  # fmt: skip
        os.close(other)
        told = b""
        while True:
            try:
                piece = os.read(main, 4096)
            except OSError:  # which is how a terminal ends
                break
            told += piece
            if told.endswith(b": ") and password:
                os.write(main, f"{password}\n".encode())
                password = ""
        process.wait(30)
    os.close(main)
    return told.decode()


def test_a_name_that_is_mistyped_is_answered_with_those_like_it(system: System) -> None:
    cloche("profiles", "add", "Shop-production", "redis://h")
    for words in (("queues", "shop-prodution"), ("profiles", "remove", "shop-prodution"), ("doctor", "shop-prodution")):
        done = cloche(*words)
        assert done.exit_code == 1
        assert "There is no profile 'shop-prodution'. Did you mean 'Shop-production'?" in done.stderr
    done = cloche("queues", "nothing-like-it")
    assert "neither a broker address like redis://localhost:6379/0 nor a history file" in done.stderr
    assert "There is no profile 'nothing-like-it'." in done.stderr
    assert "mean" not in done.stderr


def test_blanks_around_an_address_are_no_part_of_it(system: System, redis_server: RedisServer) -> None:
    assert cloche("profiles", "add", "shop", f" {redis_server.url} \n").exit_code == 0
    assert kept()[0]["url"] == redis_server.url
    assert cloche("queues", f"{redis_server.url} ").exit_code == 0


def test_a_password_is_read_from_standard_input(system: System, locked: RedisServer) -> None:
    url = f"redis://127.0.0.1:{locked.port}/0"
    done = cloche("profiles", "add", "shop", url, "--password-stdin", input_=f"{SECRET}\r\n")
    assert done.exit_code == 0, done.output
    assert list(system.kept.values()) == [SECRET]
    assert cloche("queues", "shop").exit_code == 0
    with Redis.from_url(url, password=SECRET) as client:
        client.lpush("celery", json.dumps({"headers": {"id": "t1"}}))
    for command in (("queues",), ("messages",), ("doctor",)):
        more = ("celery",) if command == ("messages",) else ()
        done = cloche(*command, url, *more, "--password-stdin", input_=SECRET)
        assert done.exit_code == 0, done.output
        assert SECRET not in done.output
    done = cloche("queues", url, "--password-stdin", input_="\n")
    assert (done.exit_code, "finds nothing" in done.stderr) == (2, True)


def test_the_password_of_a_result_backend_is_in_the_keyring_too(system: System, tmp_path: Path) -> None:
    option = f"result_backend=redis://:{SECRET}-2@results/1"
    done = cloche("profiles", "add", "shop", f"redis://:{SECRET}@h", "--option", option)
    assert done.exit_code == 0, done.output
    (profile,) = kept()
    assert profile["options"] == {"result_backend": "redis://results/1"}
    assert profile["passwords"] == {"broker": "kept", "backend": "kept"}
    assert system.kept == {
        ("cloche", profile["id"]): SECRET, ("cloche", f"{profile['id']}.backend"): f"{SECRET}-2",
    }  # fmt: skip
    assert SECRET not in profiles_file().read_text() + done.output
    assert cloche("profiles", "remove", "shop").exit_code == 0
    assert system.kept == {}


def test_the_broker_of_the_environment_is_imported(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    done = cloche("profiles", "import", "--from-environment")
    assert (done.exit_code, "CELERY_BROKER_URL" in done.stderr) == (1, True)
    monkeypatch.setenv("CELERY_BROKER_URL", f"redis://:{SECRET}@h/3 ")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", f"redis://:{SECRET}-2@r/1")
    done = cloche("profiles", "import", "--from-environment", "--name", "shop")
    assert done.exit_code == 0, done.output
    (profile,) = kept()
    assert (profile["name"], profile["url"]) == ("shop", "redis://h/3")
    assert profile["options"] == {"result_backend": "redis://r/1"}
    assert sorted(system.kept.values()) == [SECRET, f"{SECRET}-2"]
    assert SECRET not in done.output + profiles_file().read_text()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.py", b"\xff\xfe", "no text in UTF-8"),
        ("a.py", b"broker_url = " + b"-" * 500_000 + b"1", "can't be read as Python"),
        ("a.py", b"x = 1\n" * 300_000, "too large"),
        ("a.json", b"[" * 500_000, "no file of profiles"),
        ("a.json", b'{"version": 1, "profiles": [{"name": "x"}]}', "no file of profiles"),
        ("a.json", b'{"version": 99, "profiles": []}', "newer version"),
    ],
)
def test_a_hostile_file_is_refused_in_a_sentence(
    system: System, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    done = cloche("profiles", "import", str(tmp_path / name))
    assert done.exit_code == 1, done.output
    assert sentence in done.stderr
    assert kept() == []


def test_exported_profiles_of_a_stranger_bring_no_password_and_no_nonsense(system: System, tmp_path: Path) -> None:
    stranger = {
        "name": " \u202eevil ",
        "url": f"redis://:{SECRET}@h/0 ",
        "colour": "url(file:///etc/passwd)",
        "options": {"result_backend": f"redis://:{SECRET}@r/1"},
        "id": "../../etc/passwd",
    }
    file = tmp_path / "profiles.json"
    file.write_text(json.dumps({"version": 1, "profiles": [stranger]}))
    done = cloche("profiles", "import", str(file))
    assert done.exit_code == 0, done.output
    (profile,) = kept()
    assert (profile["url"], profile["options"]) == ("redis://h/0", {"result_backend": "redis://r/1"})
    assert profile["name"] == "evil"
    assert "colour" not in profile
    assert profile["id"] != stranger["id"]
    assert SECRET not in profiles_file().read_text() + done.output
