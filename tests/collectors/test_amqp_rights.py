"""The rights that are printed and published for RabbitMQ: each mode works with them, and with none less."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import amqp
import pytest
from amqp.exceptions import AccessRefused

from app.collectors.amqp import amqp_address
from app.collectors.amqp_rights import grant, needed
from app.collectors.brokers import broker_at
from app.collectors.doctor import examine
from app.models.profiles import Mode
from app.models.wire import Examine, Found
from tests.helpers import rabbits
from tests.helpers.celery_apps import WorkerProcess, worker
from tests.helpers.collecting import collecting
from tests.helpers.servers import HOST, RabbitServer
from tests.helpers.waiting import eventually

DOCUMENTED = Path(__file__).parents[2] / "docs" / "harmless.md"


def rights(url: str, mode: Mode) -> tuple[str, str, str]:
    configure, write, read = shlex.split(grant(amqp_address(url), mode))[-3:]
    return configure, write, read


def found(url: str, mode: Mode) -> dict[str, Found]:
    return {finding.name: finding for finding in examine(Examine(url, mode=mode), listen=0.5)}


@pytest.fixture
def at_work(rabbitmq_url: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker that has made its exchanges and answers."""
    with worker(rabbitmq_url, "w1", tmp_path / "w1.log", pool="solo") as running:
        eventually(lambda: found(rabbitmq_url, "observe")["workers"].ok, "an answer", within=60)
        yield running


@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize("mode", ["passive", "observe", "operate"])
def test_each_mode_works_with_the_rights_that_are_printed_for_it(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path, mode: Mode
) -> None:
    url = rabbits.make_user(rabbitmq_server, rabbitmq_url, f"least-{mode}", "^$", "^$", "^$")
    rabbitmq_server.control(*shlex.split(grant(amqp_address(url), mode))[1:])
    with collecting(url, tmp_path / "h", queues=["celery"], mode=mode) as running:
        reducer = running.collector._reducer
        eventually(lambda: reducer._fleet.by_name.get("w1@test"), "a heartbeat")
        eventually(lambda: reducer.queues.get("celery") and reducer.queues["celery"].ready == 0, "a depth")
        if mode != "passive":
            eventually(lambda: reducer._fleet.by_name["w1@test"].pool == "solo", "an answer")
    assert [text for key in ("queues", "workers") for text in running.notices(key) if text] == []


@pytest.mark.usefixtures("at_work")
def test_who_has_the_rights_of_passive_mode_can_neither_send_nor_take_anything(
    rabbitmq_server: RabbitServer, rabbitmq_url: str
) -> None:
    url = rabbits.make_user(rabbitmq_server, rabbitmq_url, "watcher", *rights(rabbitmq_url, "passive"))
    port = int(url.rpartition(":")[2].partition("/")[0])
    with amqp.Connection(
        f"{HOST}:{port}", "watcher", "secret", "PLAIN", virtual_host=amqp_address(url).virtual_host
    ) as connection:
        for exchange, key in (("", "celery"), ("celery", "celery"), ("celeryev", "task.sent"), ("celery.pidbox", "")):
            channel = connection.channel()
            channel.basic_publish(amqp.Message("x"), exchange, key)
            with pytest.raises(AccessRefused):
                channel.queue_declare("celery", passive=True)
        for take in ("basic_get", "basic_consume", "queue_purge", "queue_delete"):
            with pytest.raises(AccessRefused):
                getattr(connection.channel(), take)("celery")


@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize("mode", ["passive", "observe"])
def test_no_right_is_asked_for_that_is_not_needed(rabbitmq_server: RabbitServer, rabbitmq_url: str, mode: Mode) -> None:
    printed = needed(amqp_address(rabbitmq_url), mode)
    if mode == "observe":
        printed.configure.remove("^celeryev$")  # which is for where there is no such exchange yet
    for which in printed.__struct_fields__:
        for pattern in getattr(printed, which):
            less = {name: list(getattr(printed, name)) for name in printed.__struct_fields__}
            less[which].remove(pattern)
            names = ["|".join(each) or "^$" for each in less.values()]
            url = rabbits.make_user(rabbitmq_server, rabbitmq_url, "less", *names)
            seen = found(url, mode)
            works = seen["subscribe"].ok and (mode == "passive" or seen["workers"].ok)
            assert not works, f"{mode} mode works without the right to {which} {pattern}"


def test_where_there_is_no_exchange_for_events_yet_observe_mode_makes_it_and_passive_mode_says_so(
    rabbitmq_server: RabbitServer, rabbitmq_url: str
) -> None:
    url = rabbits.make_user(rabbitmq_server, rabbitmq_url, "first", *rights(rabbitmq_url, "observe"))
    said = found(url, "passive")["subscribe"]
    assert said.ok is False
    assert "has no exchange 'celeryev' yet" in said.text
    names = {each["name"] for each in rabbits.manage(rabbitmq_server, "GET", f"exchanges/{rabbits.host_of(url)}")}
    assert "celeryev" not in names
    assert found(url, "observe")["subscribe"].ok


def test_the_doctor_and_the_documentation_print_the_same_rights(rabbitmq_url: str) -> None:
    remedies = broker_at(rabbitmq_url).remedies
    assert grant(amqp_address(rabbitmq_url), "passive") in remedies.listen
    assert grant(amqp_address(rabbitmq_url), "observe") in remedies.ask
    documented = DOCUMENTED.read_text(encoding="utf-8")
    modes: tuple[Mode, ...] = ("passive", "observe", "operate")
    for mode in modes:
        command = grant(amqp_address("amqp://watcher@broker"), mode)
        assert shlex.split(command) in [shlex.split(line) for line in documented.replace("\\\n", "").splitlines()
                                        if line.strip().startswith("rabbitmqctl")]  # fmt: skip


def test_whatever_names_are_called_the_rights_are_for_these_names() -> None:
    url = "amqp://o'hara@h/a%2Fb?event_exchange=my.ev%2B&control_exchange=c*"
    words = shlex.split(grant(amqp_address(url), "observe"))
    assert words[:5] == ["rabbitmqctl", "set_permissions", "-p", "a/b", "o'hara"]
    assert words[6] == r"^my\.ev\+\.cloche\.|(^|\.)reply\.c\*\.pidbox$|^c\*\.pidbox$"
