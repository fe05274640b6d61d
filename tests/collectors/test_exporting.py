"""Messages of a queue are written to a file, whole or not at all, and the queue is left as it was."""

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from app.collectors.broker import Broker
from app.collectors.brokers import broker_at
from app.collectors.exporting import Exporter
from app.models.backups import BackupReader
from app.models.profiles import Mode
from app.models.surveys import OPERATE_ONLY
from app.models.wire import Export, Exported, StopExport
from tests.helpers.messages import fill, lists_of
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import PATIENCE


class Told:
    """An exporter, and what it said."""

    def __init__(self, broker: Broker, mode: Mode = "passive", *, keep_arguments: bool = True) -> None:
        self.said: queue.SimpleQueue[Exported] = queue.SimpleQueue()
        self.commands: list[int] = []
        self.exporter = Exporter(
            broker, mode, self.said.put, keep_arguments=keep_arguments, on_command=self.commands.append
        )

    def end(self) -> Exported:
        """How the export ended that was asked for last, or is under way."""
        while (told := self.said.get(timeout=PATIENCE)).state == "writing":
            pass
        self.exporter.join(PATIENCE)
        return told


def test_a_queue_is_written_as_it_is_and_left_as_it_was(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    fill(client, "mail", range(700))
    before, path = lists_of(client, "mail"), tmp_path / "mail.messages"
    told = Told(broker_at(redis_server.url))
    told.exporter.take(Export(7, "mail", str(path)))
    assert told.end() == Exported(7, 700, "done")
    assert sorted(BackupReader(path).messages()) == sorted(raw for each in before.values() for raw in each)
    assert lists_of(client, "mail") == before
    assert sum(told.commands) > 0  # they are accounted for
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_file_is_ever_written_over(redis_server: RedisServer, client: Redis, tmp_path: Path) -> None:
    fill(client, "mail", range(3))
    path = tmp_path / "mine"
    path.write_text("mine")
    told = Told(broker_at(redis_server.url))
    told.exporter.take(Export(1, "mail", str(path)))
    end = told.end()
    assert (end.state, end.text) == ("failed", f"There is a file {path} already: name another.")
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("url", "mode", "keeps", "said"),
    [
        ("redis://127.0.0.1:1/0", "observe", False, "is not to be kept of this broker"),
        ("amqp://127.0.0.1:1//", "observe", True, OPERATE_ONLY),
        ("amqp://127.0.0.1:1//", "operate", True, "On RabbitMQ what was purged is written to a file, and not what"),
        ("redis://127.0.0.1:1/0", "observe", True, "refused"),
    ],
)
def test_why_there_can_be_no_file_is_said(url: str, mode: Mode, keeps: bool, said: str, tmp_path: Path) -> None:
    told = Told(broker_at(url), mode, keep_arguments=keeps)
    told.exporter.take(Export(1, "mail", str(tmp_path / "x")))
    end = told.end()
    assert end.state == "failed"
    assert said in end.text
    assert list(tmp_path.iterdir()) == []


class Slow:
    """A broker that hands out a piece of a queue whenever a test gives one."""

    marks = False
    shown = "redis://slow/0"

    def __init__(self) -> None:
        self.pieces: queue.SimpleQueue[list[bytes] | None] = queue.SimpleQueue()
        self.closed = 0

    def vault(self, *_: object, **__: object) -> Any:
        return self

    def raw(self, _queue: str) -> Iterator[list[bytes]]:
        while (piece := self.pieces.get(timeout=PATIENCE)) is not None:
            yield piece

    def close(self) -> None:
        self.closed += 1


def test_an_export_is_stopped_and_leaves_no_file(tmp_path: Path) -> None:
    broker = Slow()
    told = Told(cast("Broker", broker))
    told.exporter.take(Export(1, "mail", str(tmp_path / "x")))
    broker.pieces.put([b"a", b"b"])
    told.exporter.take(StopExport(99))  # that is another one
    told.exporter.take(Export(2, "slow", str(tmp_path / "y")))
    other = told.said.get(timeout=PATIENCE)
    assert (other.number, other.state, other.text.partition(".")[0]) == (2, "failed", "Another export is under way")
    told.exporter.take(StopExport(1))
    broker.pieces.put([b"c"])
    end = told.end()
    assert (end.number, end.state) == (1, "stopped")
    assert list(tmp_path.iterdir()) == []
    assert broker.closed == 1
    broker.pieces = queue.SimpleQueue()
    told.exporter.take(Export(3, "mail", str(tmp_path / "z")))  # and another can begin
    broker.pieces.put([b"a"])
    broker.pieces.put(None)
    assert told.end() == Exported(3, 1, "done")
    assert broker.closed == 2


def test_how_far_it_is_is_told_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.collectors.exporting._SAY_EVERY", 0.0)
    broker = Slow()
    told = Told(cast("Broker", broker))
    told.exporter.take(Export(1, "mail", str(tmp_path / "x")))
    for expected in (2, 4):
        broker.pieces.put([b"a", b"b"])
        assert told.said.get(timeout=PATIENCE) == Exported(1, expected)
    broker.pieces.put(None)
    assert told.end() == Exported(1, 4, "done")
