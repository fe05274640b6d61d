"""Events over kombu's other transports: in memory, in files; and what kombu is not let do with what it reads."""

import base64
import json
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kombu.serialization
import pytest
from celery import Celery
from kombu.exceptions import SerializerNotInstalled
from kombu.transport import TRANSPORT_ALIASES, get_transport_cls

from app.collectors.brokers import broker_at
from app.collectors.errors import BrokerError
from app.collectors.kombu_events import FANOUT, UNWANTED, KombuEvents, disarm, kombu_address
from app.collectors.normalise import Normaliser
from app.collectors.subscriber import Link
from app.models.records import Event
from tests.helpers.collecting import collecting
from tests.helpers.events import T0, raw
from tests.helpers.histories import reading
from tests.helpers.waiting import eventually


class Heard:
    """All that a subscriber delivered, decoded."""

    def __init__(self, url: str, options: dict[str, str]) -> None:
        self.stream = KombuEvents(kombu_address(url, None, options), lambda: None)
        self.normaliser = Normaliser()
        self.events: list[Event] = []
        self.links: list[Link] = []

    def take(self) -> "Heard":
        for item in self.stream.take():
            if isinstance(item, Link):
                self.links.append(item)
            else:
                item.decode(self.normaliser, self.events)
        return self


@contextmanager
def subscribed(url: str, options: dict[str, str]) -> Iterator[Heard]:
    heard = Heard(url, options)
    heard.stream.start()
    try:
        eventually(lambda: heard.take().links, "the subscription")
        assert heard.links[0].error is None
        yield heard
    finally:
        heard.stream.stop()
        heard.stream.join()


@pytest.fixture(params=["memory://", "filesystem://"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, str]]:
    """A URL and the transport's options."""
    if request.param == "memory://":
        return request.param, {}
    for name in ("queue", "control"):
        (tmp_path / name).mkdir()
    folders = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
    return request.param, {option: str(tmp_path / name) for option, name in folders.items()}


celerys_own_warning = pytest.mark.expect_warnings("No hostname was supplied")


@contextmanager
def app_of(broker: tuple[str, dict[str, str]]) -> Iterator[Celery]:
    """A Celery app that sends events to it."""
    app = Celery("other", broker=broker[0], set_as_current=False)
    app.conf.update(broker_transport_options=broker[1], task_send_sent_event=True)
    try:
        yield app
    finally:
        app.close()


@celerys_own_warning
def test_it_hears_what_celery_sends(broker: tuple[str, dict[str, str]]) -> None:
    with subscribed(*broker) as heard, app_of(broker) as app:
        uuid = app.send_task("shop.add", (2, 3)).id
        with app.events.default_dispatcher() as dispatcher:
            dispatcher.send("task-progress", uuid=uuid, current=3)
            dispatcher.send("worker-heartbeat", freq=2.0, active=0, processed=7)
        eventually(lambda: len(heard.take().events) == 3, "the events")
        events = {event.type: event for event in heard.events}  # files come in no order
        assert events.keys() == {"task-sent", "task-progress", "worker-heartbeat"}
        assert (events["task-sent"].uuid, events["task-sent"].name) == (uuid, "shop.add")
        assert events["task-progress"].payload == {"current": 3}
        assert heard.normaliser.rejected == {}


@celerys_own_warning
def test_a_collector_writes_them_into_its_history(broker: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    with (
        collecting(broker[0], tmp_path / "h", options=broker[1]) as running,
        reading(tmp_path / "h") as reader,
        app_of(broker) as app,
    ):
        uuid = app.send_task("shop.add", (2, 3)).id
        eventually(lambda: (task := reader.task(uuid)) is not None and task.name == "shop.add", "the task")
        assert {key for key in ("queues", "workers") if any(running.notices(key))} == set()


@celerys_own_warning
def test_two_listeners_hear_the_same_and_leave_no_queue(broker: tuple[str, dict[str, str]]) -> None:
    with app_of(broker) as app:
        with subscribed(*broker) as one, subscribed(*broker) as other:
            with app.events.default_dispatcher() as dispatcher:
                dispatcher.send("worker-online", freq=2.0)
            for heard in (one, other):
                eventually(lambda heard=heard: len(heard.take().events) == 1, "the event")  # type: ignore[misc]
        if broker[0] == "filesystem://":  # kombu's memory keeps names of queues that are gone
            control = Path(broker[1]["control_folder"]) / "celeryev.exchange"
            assert json.loads(control.read_text(encoding="utf-8")) == []


def test_files_that_are_no_messages_cost_no_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inflated: list[object] = []
    monkeypatch.setattr("kombu.message.decompress", lambda *packed: inflated.append(packed))
    options = {
        "data_folder_in": str(tmp_path / "queue"),
        "data_folder_out": str(tmp_path / "queue"),
        "control_folder": str(tmp_path / "control"),
    }
    for name in ("queue", "control"):
        (tmp_path / name).mkdir()

    def message(body: bytes, **more: Any) -> str:
        return json.dumps(
            {
                "body": base64.b64encode(body).decode(),
                "content-type": "application/json",
                "headers": {},
                "properties": {"body_encoding": "base64", "delivery_tag": "x", "delivery_info": {}},
                **more,
            }
        )

    good = json.dumps(raw("task-started", uuid="good", timestamp=T0)).encode()
    bomb = zlib.compress(b"[" + b" " * (300 << 20) + b"]")
    hostile = [
        message(b"!", **{"content-type": "application/x-python-serialize"}),
        message(bomb, headers={"compression": "application/x-gzip"}),
        message(good, headers={"compression": "nonsense"}),
        message(b"", headers=None),
        message(b"\xff\xfe"),
        message(zlib.compress(good), headers={"compression": "application/x-gzip"}),
    ]
    with subscribed("filesystem://", options) as heard:
        (table,) = json.loads((tmp_path / "control" / "celeryev.exchange").read_text(encoding="utf-8"))
        for number, text in enumerate([*hostile, message(good)]):
            (tmp_path / "queue" / f"{number}.{table[2]}.msg").write_text(text, encoding="utf-8")
        eventually(lambda: len(heard.take().events) == 2, "the good ones")
        assert [event.uuid for event in heard.events] == ["good", "good"]
        assert heard.normaliser.rejected == {"not JSON": 3, "too large": 1, "unknown compression": 1}
        assert len(heard.links) == 1
        assert inflated == [], "kombu would do that without a limit"


def test_serializers_that_run_code_are_taken_from_kombu() -> None:
    disarm()
    for name in UNWANTED:
        with pytest.raises(SerializerNotInstalled):
            kombu.serialization.dumps({}, serializer=name)
    kinds = ("application/x-python-serialize", "application/x-yaml", "application/x-msgpack")
    for kind in kinds:
        with pytest.raises(kombu.serialization.ContentDisallowed):
            kombu.serialization.loads(b"", kind, "binary", accept={"application/json"})
        assert kind not in kombu.serialization.registry._decoders
    disarm()  # a second time does no harm
    assert kombu.serialization.loads(b"[1]", "application/json", "utf-8") == [1]


def test_nothing_of_kombu_is_used_before_it_is_disarmed() -> None:
    code = (
        "from app.collectors.brokers import broker_at; import kombu.serialization as s; "
        "broker_at('memory://').events(lambda: None, 'observe'); print(sorted(s.registry._decoders))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "['application/json']"


def test_what_can_fan_out_is_what_kombu_says_can() -> None:
    for alias in TRANSPORT_ALIASES:
        if alias.startswith(("redis", "sentinel", "amqp", "pyamqp", "librabbitmq", "qpid")):
            continue
        try:
            transport: Any = get_transport_cls(alias)
            channel = transport.Channel
        except (ImportError, NameError, AttributeError):
            continue  # it needs a package that is not installed
        fans_out = getattr(channel, "supports_fanout", False) is True
        assert fans_out == (alias in FANOUT), alias


def test_a_transport_whose_package_is_missing_says_so() -> None:
    broker = broker_at("mongodb://user@host/db", "geheim")
    with pytest.raises(BrokerError, match="need a Python package that is not installed") as refusal:
        broker.events(lambda: None, "observe").listen()
    assert "geheim" not in str(refusal.value)


def test_the_listener_ends_soon(broker: tuple[str, dict[str, str]]) -> None:
    with subscribed(*broker) as heard:
        ended = threading.Thread(target=heard.stream.join)
        heard.stream.stop()
        ended.start()
        ended.join(4.0)
        assert not ended.is_alive()
