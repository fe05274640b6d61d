"""What Flower gets wrong with real brokers and workers (CASES 5), and we do not: flaws 4 and 15.

Flaws 2 (a queue that nobody consumes), 3 (what workers hold), 10 (virtual hosts) and 11 (addresses) are cases of
`test_queue_cases`: Q-own7, Q-own8, Q-own4 to 6, and Q-own1 to 3.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import cli
from app.models.acts import Steer
from app.models.history.reader import Reader
from app.models.records import Queue
from app.models.wire import Health
from tests.helpers.acting import Actor
from tests.helpers.celery_apps import make_app, worker
from tests.helpers.collecting import Running, collecting
from tests.helpers.histories import reading
from tests.helpers.servers import RabbitServer, RedisServer
from tests.helpers.waiting import eventually


@pytest.fixture(params=[RedisServer, RabbitServer], ids=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Iterator[RedisServer | RabbitServer]:
    """A broker of the test's own."""
    with request.param() as server:
        yield server


def queue(reader: Reader, name: str) -> Queue:
    return next((queue for queue in reader.queues() if queue.name == name), Queue("", 0.0))


def test_flaw_4_a_worker_that_starts_after_us_is_known_with_its_queues_and_can_be_told_something(
    broker: RedisServer | RabbitServer, tmp_path: Path
) -> None:
    app = make_app(broker.url)
    with (
        collecting(broker.url, tmp_path / "h", mode="operate"),
        reading(tmp_path / "h") as reader,
        worker(broker.url, "late", tmp_path / "late.log", "--queues", "late,later", slots=3) as started,
    ):
        (known,) = eventually(lambda: [each for each in reader.workers() if each.queues], "its queues", within=60)
        assert (known.hostname, set(known.queues or ())) == (started.hostname, {"late", "later"})
        eventually(lambda: [(each.pool, each.slots) for each in reader.workers()] == [("prefork", 3)], "its pool")
        for name in ("late", "later"):
            eventually(lambda: (queue(reader, name).ready, queue(reader, name).consumers) == (0, 1), "its queue")  # noqa: B023
        # It runs without -E: what it does is heard of once it was told to tell.
        done = Actor(broker.url, tmp_path, tmp_path / "h").do(Steer("enable_events", [started.hostname]))
        assert (done.state, done.done, done.items[0].text) == ("done", 1, "task events enabled")
        sent = app.send_task("truth.add", (1, 2), queue="late").id
        eventually(lambda: (task := reader.task(sent)) is not None and task.state == "SUCCESS", "its task", within=60)
    app.close()


def asked(url: str, *words: str) -> tuple[int, str]:
    """Exit code, and all that a command says."""
    done = CliRunner().invoke(cli, [words[0], url, *words[1:]])
    return done.exit_code, done.output


def said(running: Running) -> str:
    return " ".join(each.text for each in running.said if isinstance(each, Health))


def test_flaw_15_a_broker_that_is_down_is_said_and_what_waits_there_is_unknown_and_not_zero(
    broker: RedisServer | RabbitServer, tmp_path: Path
) -> None:
    with (
        worker(broker.url, "w1", tmp_path / "w1.log", "-E", slots=1),  # it makes the queue that it consumes
        collecting(broker.url, tmp_path / "h", queues=["celery"]) as running,
        reading(tmp_path / "h") as reader,
    ):
        eventually(lambda: queue(reader, "celery").ready == 0, "an empty queue", within=60)
        eventually(lambda: queue(reader, "celery").consumers == 1, "who consumes it", within=60)
        broker.kill()
        eventually(lambda: queue(reader, "celery").ready is None, "that it is unknown")
        left = queue(reader, "celery")
        assert (left.by_priority, left.unacked, left.consumers, left.oldest) == (None, None, None, None)
        eventually(lambda: running.state == "disconnected", "the loss")
        assert "Is it running?" in said(running)
        for words in (("queues",), ("queues", "--json"), ("doctor",)):
            code, text = asked(broker.url, *words)
            assert code == 1
            assert "Is it running?" in text
            assert "Traceback" not in text
        broker.start()
        eventually(lambda: running.state == "live", "that all is well", within=60)
        eventually(lambda: queue(reader, "celery").ready is not None, "a depth again", within=60)
