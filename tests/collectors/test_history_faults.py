"""A collector whose history can't be written, is damaged, or vanishes: events go on being taken, shown and counted."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis

from app.cli import cli
from app.collectors import runner
from app.models.history import keeper
from app.models.history.charts import Span
from app.models.wire import Health, Keeping
from tests.bench.load import events
from tests.helpers.collecting import Running, collecting
from tests.helpers.events import envelope
from tests.helpers.histories import reading
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

_ALL = Span(0.0, 1e10)


def publish(client: Redis, tasks: int) -> None:
    """Three events for each task."""
    for event in events(tasks):
        client.publish("/0.celeryev/task.multi", envelope(event | {"timestamp": time.time()}))


def shown(running: Running) -> Path | None:
    """The file that the window was told to read last."""
    return next((Path(said.history) for said in reversed(running.said) if isinstance(said, Keeping)), None)


def limit_pages(running: Running, pages: int) -> None:
    """Let the file proper grow to so many pages only, as a full disk does."""
    kept = running.collector._writer
    connection = (kept._home or kept._writer)._connection
    connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()


def received(path: Path) -> int:
    with reading(path) as reader:
        return reader.accounting().received


def test_on_a_full_disk_the_view_stays_live_and_what_came_is_moved_back_within_ten_seconds(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    path = tmp_path / "h.cloche"
    with collecting(redis_server.url, path) as running:
        publish(client, 100)
        eventually(lambda: received(path) == 300, "300 events")
        limit_pages(running, 1)
        publish(client, 1_000)
        aside = eventually(lambda: shown(running), "another place")
        assert aside is not None
        eventually(lambda: received(aside) == 3_300, "all events where the window looks")
        publish(client, 100)
        eventually(lambda: received(aside) == 3_600, "further events where the window looks")
        assert any("Free space on the disk." in text for text in running.notices("history"))
        assert received(path) < 3_300
        limit_pages(running, 1 << 30)
        eventually(lambda: shown(running) == path, "the move back", within=10.0)
        assert running.notices("history")[-1] == ""
        assert not aside.exists()
        publish(client, 10)
        eventually(lambda: received(path) == 3_630, "further events")
    with reading(path) as reader:
        assert reader.accounting().balanced
        assert reader.task_total() == len({task.uuid for task in reader.records()})
        assert sum(reader.states().values()) == reader.task_total() == sum(row.count for row in reader.names(_ALL).rows)
        assert {task.state for task in reader.records()} == {"SUCCESS", "FAILURE"}


def test_where_nothing_can_be_written_at_all_the_collector_sheds_counts_and_stays_in_touch(
    redis_server: RedisServer, client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "ROOM", 1 << 60)
    monkeypatch.setattr(runner, "MOST", 200)
    path = tmp_path / "h.cloche"
    with collecting(redis_server.url, path) as running:
        publish(client, 10)
        eventually(lambda: received(path) == 30, "30 events")
        limit_pages(running, 1)
        publish(client, 3_000)
        eventually(lambda: running.collector.received == 9_030, "that all is taken")
        told = sum(isinstance(said, Health) for said in running.said)
        eventually(lambda: sum(isinstance(said, Health) for said in running.said) > told + 1, "that it is alive")
        limit_pages(running, 1 << 30)
        eventually(lambda: received(path) == 9_030, "all counted", within=10.0)
        assert running.notices("history")[-1] == ""
        with reading(path) as reader:
            counted = reader.accounting()
            assert counted.balanced
            assert sum(counted.shed.values()) > 0
            assert reader.task_total() >= 200


def test_a_history_that_is_damaged_meanwhile_is_kept_and_all_goes_on_in_a_new_one(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    path = tmp_path / "h.cloche"
    with collecting(redis_server.url, path) as running:
        publish(client, 300)
        eventually(lambda: received(path) == 900, "900 events")
        connection = running.collector._writer._writer._connection
        connection.execute("PRAGMA cache_size = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with path.open("r+b") as file:
            file.seek(8_192)
            file.write(os.urandom(path.stat().st_size - 8_192))
        loader = threading.Thread(target=publish, args=(client, 300))
        loader.start()
        eventually(lambda: shown(running) == path, "a new file")
        loader.join()
        eventually(lambda: received(path) == 1_800, "all events")
        assert "it is damaged" in running.notices("history-set-aside")[-1]
    assert [each for each in tmp_path.glob("*.set-aside-*") if not each.name.endswith("-wal")]
    with reading(path) as reader:
        assert reader.accounting().balanced


def test_a_history_in_a_folder_that_vanishes_is_begun_anew(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    path = tmp_path / "a" / "h.cloche"
    with collecting(redis_server.url, path) as running:
        publish(client, 10)
        eventually(lambda: received(path) == 30, "30 events")
        shutil.rmtree(path.parent)
        publish(client, 10)
        eventually(lambda: shown(running) == path, "a new file")
        eventually(lambda: received(path) == 60, "all events")
        assert "is gone" in running.notices("history-set-aside")[-1]


def test_where_no_history_can_be_kept_a_window_sees_a_temporary_one_and_a_recording_is_refused(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "h.cloche"
    with collecting(redis_server.url, path) as running:
        aside = shown(running)
        assert aside is not None
        assert "Nothing is kept" in running.notices("history-temporary")[-1]
        publish(client, 10)
        eventually(lambda: received(aside) == 30, "30 events")
    assert not aside.parent.exists()
    refused = CliRunner().invoke(cli, ["record", redis_server.url, "--history", str(path), "--for", "1s"])
    assert refused.exit_code == 1
    assert "Choose another folder." in refused.stderr
    assert (tmp_path / "file").read_text() == "in the way"
