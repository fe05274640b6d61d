"""S01: a password is in no file, argument, environment, log, picture, or word of the program, whatever happens to it.

It is given as a user would give it: typed at a prompt, kept in the keyring, and used under the name of its profile.
"""

import asyncio
import json
import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psutil
import pytest
from msgspec.structs import replace
from PySide6.QtCore import QSettings
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget
from redis import Redis

from app.models.profiles import Profile
from app.models.target import Target, target_of
from app.models.wire import Configure, Examine, Notice
from app.paths import self_command
from app.ui.kept import Kept
from app.ui.main_window import MainWindow
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import ThemeManager
from tests.collectors.conftest import command
from tests.helpers import rabbits
from tests.helpers.canary import CANARY, Aviary, forms
from tests.helpers.celery_apps import ROOT, make_app
from tests.helpers.collecting import child
from tests.helpers.histories import recording, sql
from tests.helpers.hostile import good
from tests.helpers.keyrings import System, offer, serving
from tests.helpers.servers import HOST, RabbitServer, RedisServer
from tests.helpers.tls import TlsFront, certificate
from tests.helpers.waiting import eventually
from tests.ui.conftest import Run, emitted, run, supervisor, theme
from tests.ui.test_supervisor import live, stopped, until

__all__ = ["run", "supervisor", "theme"]

CHANNEL: Final = "/0.celeryev/task.multi"
Cloche = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def system() -> System:
    """The system's keyring, which is the only place for it."""
    return System()


@pytest.fixture
def aviary(tmp_path: Path) -> Iterator[Aviary]:
    """All that is written below the test's folder, and all processes, while the test runs."""
    with Aviary(tmp_path, CANARY) as made:
        yield made


@pytest.fixture
def cloche(aviary: Aviary, system: System, tmp_path: Path) -> Iterator[Cloche]:
    """The program as a user runs it, with all its files below the test's folder; what it says is listened to."""
    with ExitStack() as held:
        told = held.enter_context(serving(system, tmp_path / "keyring"))
        homes = {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("CACHE", "CONFIG", "DATA", "STATE")}
        (tmp_path / "tmp").mkdir()
        environment = {**os.environ, **told, **homes, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(ROOT)}

        def ran(*words: str, typed: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
            done = subprocess.run(
                self_command(*words), input=typed, capture_output=True, text=True, check=False, timeout=90,
                env=environment, cwd=tmp_path, start_new_session=True,
            )  # fmt: skip
            assert done.returncode == code, done.stdout + done.stderr
            aviary.listen(f"what {words[0]} says", done.stdout + done.stderr)
            return done

        yield ran


@contextmanager
def locked(server: RedisServer) -> Iterator[Redis]:
    """A Redis that wants the password now, and a client that has it."""
    with Redis.from_url(server.url) as stranger:
        command(stranger, "CONFIG", "SET", "requirepass", CANARY)
    with Redis.from_url(server.url, password=CANARY) as client:
        yield client


@contextmanager
def watched(server: RedisServer, aviary: Aviary) -> Iterator[Redis]:
    """The same, and what it is told is listened to."""
    with locked(server) as client, client.monitor() as monitor:  # type: ignore[no-untyped-call]
        command(client, "CONFIG", "SET", "slowlog-log-slower-than", "0")
        yield client
        client.echo("end of the watch")
        while "end of the watch" not in (told := str(monitor.next_command())):
            if "requirepass" not in told:  # that was us
                aviary.listen("MONITOR", told)
        for entry in client.slowlog_get(1_000):
            if b"requirepass" not in entry["command"]:
                aviary.listen("SLOWLOG", repr(entry["command"]))


def events(client: Redis) -> None:
    for number in range(20):
        client.publish(CHANNEL, good(number))


def everything(cloche: Cloche, name: str, queue: str, folder: Path, *, peek: int, publish: Callable[[], None]) -> None:
    """All that the command line does with a kept connection, the window with its pictures included."""
    cloche("profiles", "list")
    cloche("profiles", "list", "--json")
    cloche("profiles", "export", "-o", str(folder / "profiles.json"))
    cloche("profiles", "import", str(folder / "profiles.json"))
    cloche("doctor", name)
    cloche("doctor", name, "--json", "--mode", "passive")
    cloche("queues", name, "--json")
    cloche("queues", name, "--mode", "operate")
    cloche("messages", name, queue, "--json", code=peek)
    publish()
    history = folder / "recorded.cloche"
    cloche("record", name, "--history", str(history), "--for", "2s", "--json")
    cloche("stats", str(history))
    cloche("export", str(history), "-o", str(folder / "tasks.csv"))
    cloche(name, "--shots", str(folder / "shots"))
    assert list((folder / "shots").glob("*.png"))


def found_nothing(aviary: Aviary, *looked_at: str) -> None:
    """Nothing was found, and it was looked for there."""
    aviary.look()
    assert aviary.hits == set()
    missing = [place for place in looked_at if not any(place in seen for seen in aviary.looked_at)]
    assert not missing, f"{missing} of {aviary.looked_at}"


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
        everything(cloche, "shop", "mail", tmp_path, peek=0, publish=lambda: events(client))
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


def test_s01_an_address_that_makes_no_sense_is_refused_without_its_password(cloche: Cloche, aviary: Aviary) -> None:
    secret = quote(CANARY, safe="")
    for url in (
        f"redis://:{secret}@h/notanint",
        f"redis://:{secret}@h:port/0",
        f"redis://:{secret}@h/0?nonsense=1",
        f"rediss://:{secret}@h/0?ssl_cert_reqs=none",
        f"sentinel://:{secret}@h",
        f"amqp://u:{secret}@h:port",
        f"ftp://u:{secret}@h",
        f"redis://:{CANARY}@h/0",
        f"amqp://u:{CANARY}@h",
    ):
        # Who types it into a shell has put it among its arguments himself: the rest is ours.
        done = subprocess.run(
            [sys.executable, "-c", _TYPED], input=json.dumps(url), capture_output=True, text=True, check=False,
            cwd=ROOT, timeout=90,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert done.stderr.startswith("cloche: ")
        aviary.listen("a refusal", done.stdout + done.stderr)
    found_nothing(aviary, "a refusal")


_TYPED: Final = """
import json, sys
from app.cli import cli
url = json.load(sys.stdin)
cli(["queues", url])
"""

# --- faults ----------------------------------------------------------------------------------------------------------


class Said:
    """All that a window's connection says, and what its collector wrote to its standard error."""

    def __init__(self, connection: Connection, aviary: Aviary) -> None:
        self.texts: list[str] = []
        self._connection = connection
        self._aviary = aviary
        connection.noticed.connect(self._hear)
        connection.health_changed.connect(self._look)

    def _hear(self, notice: Notice) -> None:
        self.texts.append(notice.text)
        self._aviary.listen("notices", notice.text)

    def _look(self) -> None:
        self.texts.append(self._connection.health.text)
        self._aviary.listen("health", repr(self._connection.health))
        if self._connection._link is not None:
            self._aviary.listen("standard error", bytes(self._connection._link._errors))

    async def until(self, word: str) -> None:
        await until(self._connection.health_changed, lambda: any(word in text for text in self.texts))


def shown(window: QWidget) -> str:
    """Every text of every widget, also of those that are not to be seen."""
    texts = [window.windowTitle()]
    for widget in window.findChildren(QWidget):
        texts += [widget.toolTip(), widget.accessibleName(), widget.accessibleDescription(), widget.statusTip()]
        for name in ("text", "plainText", "toPlainText", "placeholderText"):
            value: Any = getattr(widget, name, None)
            found = value() if callable(value) else value
            texts += [found] if isinstance(found, str) else []
    return "\n".join(texts)


def test_s01_no_fault_makes_a_window_or_a_collector_say_or_write_a_password(
    run: Run, supervisor: Supervisor, theme: ThemeManager, aviary: Aviary, tmp_path: Path,
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    offer(monkeypatch, System())
    pem = certificate(tmp_path, HOST)
    secret = quote(CANARY, safe="")
    backend = {"result_backend": f"redis://:{secret}@{HOST}:{redis_server.port}/1"}
    history = tmp_path / "shop.cloche"

    def target(name: str, url: str, history: Path) -> Target:
        made = target_of(url, backend)
        return Target(name, history, made.url, made.password, made.options, ["mail"], mode="operate")

    async def story(client: Redis, untrusted: TlsFront) -> None:
        window = MainWindow(supervisor, theme, QSettings(str(tmp_path / "w.ini"), QSettings.Format.IniFormat))
        window.show()
        connection = supervisor.add(target("shop", f"redis://:{secret}@{HOST}:{redis_server.port}/0", history))
        said = Said(connection, aviary)
        await live(connection)
        await asyncio.to_thread(events, client)
        while await connection.query(lambda reader: reader.task("good-1")) is None:
            await emitted(connection.committed)
        await connection.peek("mail", 0, 20, newest=False)
        # F23: it is killed, and crashes.
        for how in (signal.SIGKILL, signal.SIGSEGV):
            os.kill(connection.collector_pid, how)
            await stopped(connection)
            await live(connection)
        # F01 and F08: the broker restarts, and has another password then.
        await asyncio.to_thread(redis_server.kill)
        await said.until("Is it running?")
        await asyncio.to_thread(redis_server.start)
        with Redis.from_url(redis_server.url) as other:
            command(other, "CONFIG", "SET", "requirepass", "another")
            await said.until("refused the sign-in")
        # F14: it is told by nobody who does not prove to be the broker.
        url = f"rediss://:{secret}@{HOST}:{untrusted.port}/0"
        bad = supervisor.add(target("bad", url, tmp_path / "bad.cloche"))
        await Said(bad, aviary).until("No password was sent.")
        # The dialog's test says what it finds.
        examiner = supervisor.examine(Examine(url.replace(f":{secret}@", ""), CANARY))
        examiner.found.connect(lambda found: aviary.listen("a test of the dialog", repr(found)))
        gone = asyncio.Event()
        examiner.gone.connect(gone.set)
        examiner.start()
        await gone.wait()
        # A connection is kept, and its password looked up again, in threads of their own.
        kept = Kept(tmp_path / "kept.json")
        kept.keep(Profile("kept", f"redis://{HOST}:1/0"), CANARY, remember=True)
        await emitted(kept.opened)
        kept.open(kept.all[0])
        await emitted(kept.opened)
        for page in ("overview", "tasks", "workers", "queues"):
            window.show_page(page)
            aviary.listen("the window", shown(window))
            window.grab().save(str(tmp_path / f"{page}.png"))
        aviary.listen("the clipboard", QGuiApplication.clipboard().text())

    with locked(redis_server) as client, TlsFront(pem, redis_server.port) as untrusted:
        run(story(client, untrusted))
        aviary.listen("log records", "\n".join(f"{each.getMessage()} {each.exc_text}" for each in caplog.records))
        aviary.listen("what went over the untrusted line", bytes(untrusted.heard))
    found_nothing(
        aviary, "shop.cloche", "bad.cloche", "overview.png", "arguments of collector", "the environment", "notices",
        "health", "standard error", "a test of the dialog", "the window", "the clipboard", "log records",
    )  # fmt: skip


def heard(process: subprocess.Popen[bytes], aviary: Aviary) -> None:
    """Listen to all that a child says until it is gone."""
    process.wait(30)
    said, complaints = process.communicate()
    aviary.listen("what a child says", said)
    aviary.listen("standard error", complaints)


def test_s01_a_collector_that_breaks_down_leaves_no_password_behind(
    aviary: Aviary, tmp_path: Path, redis_server: RedisServer
) -> None:
    def config(history: Path) -> Configure:
        url, backend = f"redis://{HOST}:{redis_server.port}/0", f"redis://:{quote(CANARY, safe='')}@{HOST}:1/1"
        made = target_of(url, {"result_backend": backend}).configure(history)
        return replace(made, password=CANARY)

    with locked(redis_server) as client:
        with recording(tmp_path / "broken"):
            pass
        # A mistake of our own, with a traceback.
        wrong = "SELECT hostname FROM worker AS one, worker AS other"
        sql(tmp_path / "broken", f"CREATE TRIGGER no BEFORE INSERT ON task BEGIN {wrong}; END")
        with child(config(tmp_path / "broken")) as process:
            eventually(lambda: client.publish(CHANNEL, good(1)), "its subscription")
            heard(process, aviary)
            assert process.returncode == 70
        # A history that is none.
        (tmp_path / "damaged").write_bytes(b"SQLite format 3\0" + os.urandom(20_000))
        with child(config(tmp_path / "damaged")) as process:
            eventually(lambda: client.publish(CHANNEL, good(1)), "its subscription")
            process.terminate()
            heard(process, aviary)
        # It dies at once, on a system that would keep its memory for whoever looks into it.
        before = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
        try:
            with child(config(tmp_path / "killed")) as process:
                eventually(lambda: client.publish(CHANNEL, good(1)), "its subscription")
                assert psutil.Process(process.pid).rlimit(psutil.RLIMIT_CORE) == (0, 0)
                process.send_signal(signal.SIGSEGV)
                heard(process, aviary)
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, before)
    found_nothing(
        aviary, "standard error", "what a child says", "broken", "damaged", "killed", "arguments of collector"
    )
    assert "Traceback" in aviary.said["standard error"]


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
