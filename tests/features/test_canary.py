"""S01: a password is in no file, argument, environment, log, picture, or word of the program: wherever it may be used.

It is given as a user would give it: typed at a prompt, kept in the keyring, and used under the name of its profile.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from app.cli import cli
from tests.collectors.conftest import command
from tests.features.conftest import Cloche
from tests.helpers import rabbits
from tests.helpers.canary import CANARY, Aviary, forms, found_nothing, watched
from tests.helpers.celery_apps import make_app
from tests.helpers.hostile import good
from tests.helpers.keyrings import System
from tests.helpers.servers import HOST, RabbitServer, RedisServer
from tests.helpers.waiting import eventually
from tests.ui.conftest import run, supervisor, theme

__all__ = ["run", "supervisor", "theme"]

CHANNEL: Final = "/0.celeryev/task.multi"


def everything(
    cloche: Cloche, name: str, queue: str, folder: Path, *, peek: int, publish: Callable[[], object]
) -> None:
    """All that the command line does with a kept connection, the window with its pictures included."""
    cloche("profiles", "list")
    cloche("profiles", "list", "--json")
    cloche("profiles", "export", "-o", str(folder / "profiles.json"))
    cloche("profiles", "import", str(folder / "profiles.json"))
    cloche("doctor", name)
    cloche("queues", name, "--json")
    cloche("queues", name, "--mode", "operate")
    cloche("messages", name, queue, "--json", code=peek)
    history = folder / "recorded.cloche"
    with ThreadPoolExecutor(1) as beside:
        recording = beside.submit(cloche, "record", name, "--history", str(history), "--for", "2s", "--json")
        while not recording.done():
            publish()
            time.sleep(0.1)
    recording.result()
    cloche("stats", str(history))
    cloche("export", str(history), "-o", str(folder / "tasks.csv"))
    cloche(name, "--shots", str(folder / "shots"))
    assert list((folder / "shots").glob("*.png"))


REFUSED: Final[Sequence[Sequence[str]]] = (
    ("doctor", "shop"), ("queues", "shop"), ("messages", "shop", "mail"), ("record", "shop", "--for", "1s"),
)  # fmt: skip
EVERYWHERE: Final = (
    "profiles.json", "recorded.cloche", "tasks.csv", ".png", "arguments of collector", "arguments of doctor",
    "arguments of record", "the environment", "what doctor says", "what record says", "what queues says",
)  # fmt: skip


def test_s01_a_password_of_redis_is_nowhere_but_in_the_keyring(
    cloche: Cloche, aviary: Aviary, system: System, tmp_path: Path, redis_server: RedisServer
) -> None:
    app = make_app(redis_server.url)
    for number in range(3):
        app.send_task("truth.add", (number, 1), queue="mail")
    app.close()
    with watched(redis_server, aviary) as client:
        address = f"redis://{HOST}:{redis_server.port}/0"
        cloche("profiles", "add", "shop", address, "--ask-password", typed=f"{CANARY}\n")
        assert list(system.kept.values()) == [CANARY]
        everything(cloche, "shop", "mail", tmp_path, peek=0, publish=lambda: client.publish(CHANNEL, good(1)))
        # The broker has another password now, or is none at all.
        command(client, "CONFIG", "SET", "requirepass", "another")
        for words in REFUSED:
            done = cloche(*words, code=1)
            assert "refused the sign-in" in done.stdout + done.stderr
        command(client, "CONFIG", "SET", "requirepass", CANARY)
    redis_server.kill()
    for words in REFUSED:
        done = cloche(*words, code=1)
        assert "Is it running?" in done.stdout + done.stderr
    found_nothing(aviary, *EVERYWHERE, "MONITOR", "SLOWLOG")


def test_s01_passwords_of_an_applications_settings_are_nowhere_but_in_the_keyring(
    cloche: Cloche,
    aviary: Aviary,
    system: System,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    redis_server: RedisServer,
) -> None:
    app = make_app(redis_server.url)
    app.send_task("truth.add", (1, 1), queue="mail")
    app.close()
    with watched(redis_server, aviary) as client:
        server = f"redis://:{quote(CANARY, safe='')}@{HOST}:{redis_server.port}"
        settings = tmp_path_factory.mktemp("theirs") / "celeryconfig.py"  # which is not ours to keep clean
        settings.write_text(f"broker_url = '{server}/0'\nresult_backend = '{server}/1'\n", encoding="utf-8")
        cloche("profiles", "import", str(settings), "--name", "shop")
        assert list(system.kept.values()) == [CANARY, CANARY]
        everything(cloche, "shop", "mail", tmp_path, peek=0, publish=lambda: client.publish(CHANNEL, good(1)))
    found_nothing(aviary, *EVERYWHERE, "MONITOR", "SLOWLOG")


def test_s01_a_password_of_rabbitmq_and_its_management_api_is_nowhere_but_in_the_keyring(
    cloche: Cloche, aviary: Aviary, system: System, tmp_path: Path, rabbitmq_server: RabbitServer, rabbitmq_url: str
) -> None:
    user = rabbits.make_user(rabbitmq_server, rabbitmq_url, "canary", ".*", ".*", ".*").replace(":secret", "")
    rabbits.manage(rabbitmq_server, "PUT", "users/canary", {"password": CANARY, "tags": "monitoring"})
    api = f"management_url=http://{HOST}:{rabbitmq_server.management_port}"
    with rabbits.client(rabbitmq_url) as channel:
        channel.queue_declare("mail", auto_delete=False)
        cloche("profiles", "add", "rabbit", user, "--ask-password", "--option", api, typed=f"{CANARY}\n")
        assert list(system.kept.values()) == [CANARY]
        everything(cloche, "rabbit", "mail", tmp_path, peek=1, publish=lambda: None)
        rabbits.manage(rabbitmq_server, "PUT", "users/canary", {"password": "another", "tags": "monitoring"})
        for name, *words in REFUSED:
            cloche(name, "rabbit", *words[1:], code=1)
    rabbits.manage(rabbitmq_server, "DELETE", "users/canary")
    found_nothing(aviary, *EVERYWHERE)


def test_s01_an_address_that_makes_no_sense_is_refused_without_its_password(aviary: Aviary) -> None:
    secret = quote(CANARY, safe="")
    for url in (
        f"redis://:{secret}@h/notanint",
        f"redis://:{secret}@h:port/0",
        f"redis://:{secret}@h/0?nonsense=1",
        f"rediss://:{secret}@h/0?ssl_cert_reqs=none",
        f"sentinel://:{secret}@h",
        f"amqp://u:{secret}@h:port",
        f"ftp://u:{secret}@h",
        f"redis://:{CANARY}@h/notanint",
        f"amqp://u:{CANARY}@h:port",
    ):
        for words in (["queues", url], ["profiles", "add", "shop", url], ["doctor", url], ["record", url]):
            done = CliRunner().invoke(cli, words)
            assert done.exit_code == 1, done.output
            assert done.stderr.startswith("cloche: ")
            aviary.listen("a refusal", done.output)
    found_nothing(aviary, "a refusal")


# --- and it would be found -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", forms(CANARY))
def test_s01_a_leak_would_be_found_in_whatever_form(tmp_path: Path, form: str) -> None:
    for at, leaked in enumerate(forms(CANARY)[form]):
        with Aviary(tmp_path / str(at), CANARY) as aviary:
            (tmp_path / str(at)).mkdir()
            (tmp_path / str(at) / "history-wal").write_bytes(os.urandom(1_000) + leaked + os.urandom(1_000))
        assert any(hit.startswith(form) and "history-wal" in hit for hit in aviary.hits), leaked


def test_s01_a_leak_would_be_found_in_arguments_the_environment_and_words(tmp_path: Path) -> None:
    with Aviary(tmp_path, CANARY) as aviary:
        command = [sys.executable, "-c", "input()", "app", "leaking", CANARY]
        with subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, "LEAK": quote(CANARY)}) as leaking:
            eventually(lambda: len(aviary.hits) >= 2, "both")
            leaking.communicate(b"\n")
        aviary.listen("a log", repr(CANARY))
    assert {"raw in arguments of leaking", "url-quoted in the environment", "raw in a log"} <= aviary.hits
