"""S01: no fault makes the program say or write a password."""

import asyncio
import logging
import os
import resource
import signal
import subprocess
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
from app.ui.kept import Kept
from app.ui.main_window import MainWindow
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import ThemeManager
from tests.collectors.conftest import command
from tests.helpers.canary import CANARY, Aviary, found_nothing, locked
from tests.helpers.collecting import child
from tests.helpers.histories import recording, sql
from tests.helpers.hostile import good
from tests.helpers.keyrings import System, offer
from tests.helpers.servers import HOST, RedisServer
from tests.helpers.tls import TlsFront, certificate
from tests.helpers.waiting import eventually
from tests.ui.conftest import Run, emitted, run, supervisor, theme
from tests.ui.test_supervisor import live, stopped, until

__all__ = ["run", "supervisor", "theme"]

CHANNEL: Final = "/0.celeryev/task.multi"


def events(client: Redis) -> None:
    for number in range(20):
        client.publish(CHANNEL, good(number))


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
        kept.keep(Profile("kept", f"redis://{HOST}:1/0"), {"broker": CANARY}, remember=True)
        await kept.settled()
        kept.open(kept.all[0])
        await emitted(kept.opened)
        for page in ("overview", "tasks", "workers", "queues", "activity"):
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
