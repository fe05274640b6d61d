"""RabbitMQ that blocks publishers, refuses, or is away for a while: F30, F31 and F32 of a broker in use."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import amqp
import pytest
from amqp.exceptions import error_for_code

from app.collectors import amqp_content, questions
from app.collectors.access import Grant
from app.collectors.amqp import amqp_address, amqp_error, blocked
from app.collectors.amqp_control import AmqpControl
from app.collectors.amqp_intake import MOST
from app.collectors.amqp_publisher import AmqpPublisher
from app.collectors.amqp_queues import AmqpQueues
from app.collectors.amqp_vault import AmqpVault
from app.collectors.envelope import Known, made
from app.collectors.errors import BrokerError
from app.collectors.publisher import Route
from app.models.quarantines import quarantine_name
from tests.collectors.test_amqp_control import faked
from tests.collectors.test_amqp_events import subscribed
from tests.helpers import amqp_raw, rabbits
from tests.helpers.celery_apps import worker
from tests.helpers.collecting import Running, collecting
from tests.helpers.histories import reading
from tests.helpers.servers import HOST, RabbitServer
from tests.helpers.waiting import eventually

MEMORY = (("set_vm_memory_high_watermark", "0.00001"), ("set_vm_memory_high_watermark", "0.4"))
DISK = (("set_disk_free_limit", "99999GB"), ("set_disk_free_limit", "50MB"))


@pytest.fixture(scope="module")
def harmed(_a_run_of_its_own: None) -> Iterator[RabbitServer]:
    """A node that the tests of this file may harm, except that each leaves it as it was."""
    with RabbitServer() as server:
        yield server


@pytest.fixture
def url(harmed: RabbitServer) -> Iterator[str]:
    """A virtual host of the test's own on it."""
    harmed.make_virtual_host("shop")
    yield harmed.url_of("shop")
    harmed.remove_virtual_host("shop")


@contextmanager
def short(server: RabbitServer, of: tuple[tuple[str, ...], tuple[str, ...]]) -> Iterator[None]:
    """Let a node be short of memory or disk, so that it blocks publishers."""
    server.control(*of[0])
    try:
        yield
    finally:
        server.control(*of[1])


def said(running: Running, key: str) -> str:
    """What was said last about a matter; "" also where it is over."""
    return next(iter(running.notices(key)[::-1]), "")


def measured(running: Running, name: str, ready: int) -> bool:
    queue = running.collector._reducer.queues.get(name)
    return queue is not None and queue.ready == ready


# --- F30: alarms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [MEMORY, DISK], ids=["memory", "disk"])
def test_f30_who_asks_workers_is_told_that_the_broker_blocks_publishers_and_when_that_is_over(
    harmed: RabbitServer, url: str, of: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    words = "blocks publishers: it is short of "
    control = AmqpControl(amqp_address(url), "observe", on_command=lambda _number: None)
    with faked(url, "mute@a"), subscribed(url) as heard:
        with short(harmed, of):
            with pytest.raises(BrokerError, match=words) as refusal:
                control.ask("ping", timeout=20.0)
            assert refusal.value.fault == "blocked"
            began = time.monotonic()
            for _ in range(5):
                with pytest.raises(BrokerError, match=words):
                    control.ask("ping", timeout=20.0)
                with pytest.raises(BrokerError, match=words):
                    control.present(["mute@a"])
            assert time.monotonic() - began < 10.0, "it is not published again and again, nor waited for"
            assert len(rabbits.our_connections(harmed)) <= 2
            assert len(heard.take().links) == 1, "who only listens is not blocked"

        def over() -> bool:
            try:
                return control.present(["mute@a"]) == {"mute@a": True}
            except BrokerError:
                return False

        eventually(over, "the end of it")
        assert control.ask("ping", timeout=0.1) == {}
    control.close()


@pytest.mark.parametrize("under_way", [False, True], ids=["before", "meanwhile"])
def test_f30_who_purges_is_told_and_what_was_under_way_comes_back_when_that_is_over(
    harmed: RabbitServer, url: str, *, under_way: bool
) -> None:
    vault = AmqpVault(amqp_address(url), "operate", on_command=lambda _number: None)
    quarantine = quarantine_name("mail")
    with rabbits.client(url) as channel:
        rabbits.declare(channel, "mail")
        amqp_raw.send(channel, "mail", [amqp_raw.numbered(n) for n in range(500)])
        eventually(lambda: length(channel, "mail") == 500)
        purging, moved = vault.lock_away("mail", quarantine, Grant()), 0
        if under_way:
            moved = sum(next(purging) for _ in range(4))
        with short(harmed, MEMORY):
            with pytest.raises(BrokerError, match="blocks publishers: it is short of ") as told:
                list(purging)
            assert told.value.fault == "blocked"
            assert ("Nothing is lost" in str(told.value)) == under_way
            if not under_way:
                assert length(channel, "mail") == 500, "nothing was taken"
        eventually(lambda: length(channel, "mail") >= 500 - moved - 2 * MOST, "what was under way")
        list(vault.put_back(quarantine, "mail", Grant()))
        eventually(lambda: length(channel, "mail") == 500, "all of it")
    assert sorted(int(each.body) for each in amqp_raw.look(url, "mail")) == [*range(500)]


@pytest.mark.parametrize("under_way", [False, True], ids=["before", "meanwhile"])
def test_f30_who_sends_tasks_is_told_and_none_is_lost_or_doubled_when_that_is_over(
    harmed: RabbitServer, url: str, *, under_way: bool
) -> None:
    messages = [made(Known(name="shop.bill", args=[], kwargs={}, id=f"t{number}")) for number in range(20)]

    def send_all() -> None:
        with closing(AmqpPublisher(amqp_address(url), "act", Grant(), on_command=lambda _number: None)) as publisher:
            for number, message in enumerate(messages):
                if under_way and number == 10 and not shortage:
                    alarm.enter_context(short(harmed, MEMORY))
                    shortage.append(True)
                publisher.publish(message, Route("", "mail"))

    shortage: list[bool] = []
    with rabbits.client(url) as channel:
        rabbits.declare(channel, "mail")
        with ExitStack() as alarm:
            if not under_way:
                alarm.enter_context(short(harmed, MEMORY))
            with pytest.raises(BrokerError, match="blocks publishers: it is short of ") as told:
                send_all()
            assert told.value.fault == "blocked"

        def sent() -> bool:
            try:
                send_all()
            except BrokerError as error:
                assert error.fault in ("busy", "blocked"), error  # noqa: PT017 - all other is a failure
                return False
            return True

        eventually(sent, "that what was said before is settled", within=60)
        eventually(lambda: length(channel, "mail") >= 20)
    found = sorted(amqp_content.task_id(each.properties) for each in amqp_raw.look(url, "mail"))
    assert found == sorted(message.id for message in messages)


def length(channel: amqp.Channel, queue: str) -> int:
    """How many messages wait."""
    return int(channel.queue_declare(queue, passive=True).message_count)


def test_f30_a_collector_says_so_goes_on_watching_and_calls_nobody_lost(
    harmed: RabbitServer, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "UNANSWERED_PAUSE", 1.0)
    with (
        rabbits.client(url) as channel,
        worker(url, "w1", tmp_path / "w1.log", pool="threads") as process,
        collecting(url, tmp_path / "h", queues=["mail"]) as running,
    ):
        rabbits.declare(channel, "mail")
        workers = running.collector._reducer.workers
        eventually(lambda: process.hostname in workers and workers[process.hostname].pool, "a worker that answers")
        with short(harmed, MEMORY):
            eventually(lambda: "blocks publishers: it is short of memory" in said(running, "workers"), "a word of it")
            silent = time.monotonic()
            # Longer than it takes to call a worker lost.
            eventually(lambda: time.monotonic() - silent > 9.0)
            assert workers[process.hostname].state in ("online", "silent")
            assert "blocks publishers" in said(running, "workers")
            channel.queue_delete("mail")
            rabbits.declare(channel, "mail", x_max_length=1)
            eventually(lambda: measured(running, "mail", 0), "looks at queues that go on")
            assert running.state == "live"
        eventually(lambda: said(running, "workers") == "", "that it is over")
        ended = time.time()
        eventually(lambda: (workers[process.hostname].heartbeat or 0.0) > ended, "a heartbeat")
    with reading(tmp_path / "h") as reader:
        assert [gap for gap in reader.gaps() if gap.end is None or gap.end - gap.start > 1.0] == []


def test_f30_passive_mode_learns_it_from_the_management_api(harmed: RabbitServer, url: str, tmp_path: Path) -> None:
    options = {"management_url": f"http://{HOST}:{harmed.management_port}"}
    with rabbits.client(url) as channel:
        channel.exchange_declare("celeryev", "topic", durable=True, auto_delete=False)
    with collecting(url, tmp_path / "h", mode="passive", options=options) as running:
        with short(harmed, MEMORY):
            eventually(lambda: "blocks publishers: it is short of memory" in said(running, "alarm"), "a word of it")
            assert running.state == "live"
        eventually(lambda: said(running, "alarm") == "", "that it is over")


@pytest.mark.parametrize(
    ("short_of", "words"),
    [
        (
            "low on memory",
            "short of memory. Until that is over no task is taken, and no worker heard. Free memory there",
        ),
        ("disk", "short of disk. Until that is over no task is taken, and no worker heard. Free its disk."),
        ("memory and disk", "short of memory and disk. Until"),
        ("connection blocked, see broker logs", "short of memory or disk. Until that is over no task is taken"),
    ],
)
def test_f30_of_what_it_is_short_is_told_as_well_as_it_is_known(short_of: str, words: str) -> None:
    assert words in str(blocked(amqp_address("amqp://h"), short_of))


# --- F31: our own queues ---------------------------------------------------------------------------------------------


def test_f31_each_queue_of_ours_is_exclusive_goes_by_itself_and_is_bounded(harmed: RabbitServer, url: str) -> None:
    control = AmqpControl(amqp_address(url), "observe", on_command=lambda _number: None)
    with faked(url, "mute@a"), subscribed(url):
        asking = threading.Thread(target=lambda: control.ask("ping", timeout=2.0))
        asking.start()
        eventually(lambda: any(".reply." in name for name in rabbits.queues(harmed, url)), "the queue for answers")
        ours = {name: each for name, each in rabbits.queues(harmed, url).items() if name != "mute@a.celery.pidbox"}
        asking.join()
        assert len(ours) == 2
        for each in ours.values():
            assert (each["exclusive"], each["auto_delete"], each["durable"]) == (True, True, False)
            assert each["arguments"].keys() >= {"x-expires", "x-max-length", "x-max-length-bytes"}
            assert each["arguments"]["x-expires"] <= 60_000
    control.close()
    eventually(lambda: rabbits.queues(harmed, url) == {}, "nothing left behind")


# --- F32: what is refused, and what goes away ------------------------------------------------------------------------


def test_f32_a_node_that_goes_down_and_comes_back_costs_a_gap(harmed: RabbitServer, url: str, tmp_path: Path) -> None:
    with collecting(url, tmp_path / "h", queues=["mail"]) as running:
        with rabbits.client(url) as channel:
            rabbits.declare(channel, "mail")
            rabbits.send(channel, "mail")
            eventually(lambda: measured(running, "mail", 1), "a depth")
        down = time.time()
        harmed.control("stop_app")
        try:
            eventually(lambda: running.state == "disconnected", "the loss")
            eventually(lambda: said(running, "queues") != "", "that queues can't be seen")
        finally:
            harmed.control("start_app")
        back = time.time()
        eventually(lambda: running.state == "live", "the connection", within=60)
        eventually(lambda: said(running, "queues") == "", "looks at queues", within=60)
    with reading(tmp_path / "h") as reader:
        gap = reader.gaps()[-1]
    assert gap.end is not None
    assert down <= gap.start <= back <= gap.end + 1.0
    assert "closed the connection: CONNECTION_FORCED" in gap.why


def test_f32_a_virtual_host_that_is_deleted_is_named_and_entered_again_when_it_is_back(
    harmed: RabbitServer, url: str, tmp_path: Path
) -> None:
    with collecting(url, tmp_path / "h", queues=["mail"]) as running:
        eventually(lambda: "mail" in running.collector._reducer.queues, "a look at queues")
        harmed.remove_virtual_host("shop")
        text = "has no virtual host 'shop'"
        eventually(lambda: any(text in str(each) for each in running.said), "which one is missing")
        assert running.state == "disconnected"
        eventually(lambda: text in said(running, "queues"), "the same of queues")
        harmed.make_virtual_host("shop")
        eventually(lambda: running.state == "live", "the connection", within=60)
        eventually(lambda: said(running, "queues") == "", "looks at queues", within=60)


def test_f32_a_right_that_is_taken_away_costs_what_it_was_for_until_it_is_granted_again(
    harmed: RabbitServer, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "INSPECT_PAUSE", 1.0)
    monkeypatch.setattr(questions, "AUTH_PAUSE", 1.0)
    with faked(url, "w@a") as (channel, _):
        channel.exchange_declare("celeryev", "topic", durable=True, auto_delete=False)
        rabbits.declare(channel, "mail")
        less = rabbits.make_user(harmed, url, "watcher", ".*", ".*", ".*")
        with collecting(less, tmp_path / "h", queues=["mail"]) as running:

            def beat() -> None:
                rabbits.publish(
                    channel, [f'{{"type":"worker-heartbeat","hostname":"w@a","timestamp":{time.time()},"freq":2.0}}']
                )

            def asked() -> bool:
                beat()
                return running.collector._questions.answered

            eventually(asked, "a question that was not refused")
            rabbits.make_user(harmed, url, "watcher", "^$", "^$", "^$")

            def refused() -> bool:
                beat()
                return "does not permit it: ACCESS_REFUSED" in said(running, "workers")

            eventually(refused, "the refusal")
            rabbits.send(channel, "mail", 2)
            eventually(lambda: measured(running, "mail", 2), "depths, which need no right")
            heard = running.collector.received
            beat()
            eventually(lambda: running.collector.received > heard, "events, which were subscribed to")
            assert (running.state, said(running, "queues")) == ("live", "")
            rabbits.make_user(harmed, url, "watcher", ".*", ".*", ".*")

            def works() -> bool:
                beat()
                return said(running, "workers") == ""

            eventually(works, "that it is granted again")


def test_f32_a_refusal_about_one_queue_costs_that_answer_and_no_connection(harmed: RabbitServer, url: str) -> None:
    """404 (no such queue) and 405 (another's own) close the channel, which is opened again on the same connection."""
    queues = AmqpQueues(amqp_address(url), ["there", "missing", "theirs"], on_command=lambda _number: None)
    with rabbits.client(url) as channel:
        rabbits.declare(channel, "there")
        rabbits.send(channel, "there")
        channel.queue_declare("theirs", exclusive=True)
        eventually(lambda: {each.name: each.ready for each in queues.poll().queues}.get("there") == 1, "the depth")
        connection = queues._connection
        queues._absent.clear()
        assert {each.name: each.ready for each in queues.poll().queues} == {"there": 1, "missing": None, "theirs": None}
        assert queues._connection is connection
        assert [each.ready for each in queues.poll().queues] == [1]
    queues.close()


@pytest.mark.parametrize(
    ("code", "method", "fault", "sentence"),
    [
        (320, (0, 0), "network", "closed the connection"),
        (402, (10, 40), "protocol", "what was not expected"),
        (403, (50, 10), "permission", "does not permit it"),
        (404, (50, 10), "protocol", "what was not expected"),
        (405, (50, 10), "busy", "is not ready"),
        (406, (50, 10), "protocol", "what was not expected"),
        (501, (0, 0), "protocol", "what was not expected"),
        (504, (20, 10), "protocol", "what was not expected"),
        (506, (50, 10), "busy", "is not ready"),
        (541, (0, 0), "busy", "is not ready"),
    ],
)
def test_f32_each_refusal_is_said_in_rabbitmqs_own_words(
    code: int, method: tuple[int, int], fault: str, sentence: str
) -> None:
    error = error_for_code(code, "BECAUSE - it says so", method, amqp.ConnectionError)
    told = amqp_error(error, amqp_address("amqp://u:canary@h/shop"))
    assert told.fault == fault
    assert sentence in str(told)
    assert "BECAUSE - it says so" in str(told)
    assert "canary" not in str(told)
