"""A history that changes its place while it is shown: the window follows."""

import asyncio
import shutil
from pathlib import Path

from app.models.target import Target
from app.ui.supervisor import Supervisor
from tests.helpers.servers import RedisServer
from tests.ui.conftest import Run, emitted
from tests.ui.test_supervisor import live, publish


def test_what_can_not_be_kept_is_shown_all_the_same_and_said(
    run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    said: list[str] = []

    async def story() -> None:
        connection = supervisor.add(Target("shop", tmp_path / "file" / "shop.cloche", redis_server.url))
        connection.noticed.connect(lambda notice: said.append(notice.text))
        await live(connection)
        await asyncio.to_thread(publish, redis_server.url, 50)
        while await connection.query(lambda reader: reader.accounting().received) < 150:
            await emitted(connection.committed)
        assert connection.history.name == "temporary.cloche"

    run(story())
    assert any("Nothing is kept: what is shown now is gone when Cloche ends." in text for text in said)


def test_a_history_that_is_begun_anew_under_the_same_name_is_what_is_read(
    run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    history = tmp_path / "a" / "shop.cloche"

    async def story() -> None:
        connection = supervisor.add(Target("shop", history, redis_server.url))
        await live(connection)
        await asyncio.to_thread(publish, redis_server.url, 10)
        while await connection.query(lambda reader: reader.accounting().received) < 30:
            await emitted(connection.committed)
        shutil.rmtree(history.parent)
        await asyncio.to_thread(publish, redis_server.url, 20)
        while await connection.query(lambda reader: reader.accounting().received) < 90:
            await emitted(connection.committed)
        # What was there is gone; the old file, which is still open, has no more than that.
        assert 0 < await connection.query(lambda reader: reader.task_total()) <= 20
        assert connection.history == history

    run(story())
