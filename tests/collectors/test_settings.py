"""What workers say of their settings: what matters to who looks is offered, and nothing secret or unusable."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from app.collectors.control import read_answer
from app.collectors.doctor import Examination, examine
from app.collectors.settings import MOST, Told, from_conf, offers
from app.models.wire import Examine, Found, Offer
from tests.helpers.celery_apps import SETTINGS, WorkerProcess, worker
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

BROKER = Examine("redis://h")


def told(**conf: Any) -> Told:
    found = from_conf(conf)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("conf", "options"),
    [
        ({"event_exchange": "ev", "control_exchange": "c"}, {"event_exchange": "ev", "control_exchange": "c"}),
        ({"result_backend": "redis://:********@h:6379/1"}, {"result_backend": "redis://h:6379/1"}),
        ({"result_backend": "redis://u:canary@h/1"}, {"result_backend": "redis://u@h/1"}),
        ({"broker_transport_options": {"sep": ":", "priority_steps": [0, 5]}}, {"sep": ":", "priority_steps": "0,5"}),
        ({"broker_transport_options": {"fanout_prefix": True}}, {"fanout_prefix": "true"}),
        # Masked by the worker, of another kind, or too long.
        ({"broker_transport_options": {"global_keyprefix": "********"}}, {}),
        ({"event_exchange": "********", "control_exchange": 5}, {}),
        ({"event_exchange": "x" * 1_000_000}, {}),
        ({"event_exchange": "\x1b[2J", "broker_transport_options": {"sep": "\u202e"}}, {}),
        ({"result_backend": "db+postgresql://u:canary@h/db"}, {}),
        ({"result_backend": "canary"}, {}),
        ({"result_backend": ["redis://:canary@h"]}, {}),
        ({"broker_transport_options": [1, 2]}, {}),
        ({"broker_transport_options": {"priority_steps": [{"a": 1}] * 1_000_000}}, {}),
    ],
)  # fmt: skip
def test_what_can_be_used_of_settings_is_read_and_nothing_else(conf: dict[str, Any], options: dict[str, str]) -> None:
    found = told(**conf)
    assert found.options == options
    assert "canary" not in repr(found)


@pytest.mark.parametrize("answer", [None, [], "conf", 5, {"error": "no such command"}])
def test_what_is_no_answer_tells_nothing(answer: object) -> None:
    assert from_conf(answer) is None


@pytest.mark.parametrize(
    ("conf", "queues"),
    [
        ({"task_default_queue": "celery", "task_queues": None}, ["celery"]),
        ({"task_queues": [{"name": "mail"}, {"name": "mail"}, {"name": 5}, {}, "x"]}, ["mail"]),
        ({"task_queues": {"mail": {}, "reports": None}}, ["mail", "reports"]),
        ({"task_queues": [{"name": "a,b"}, {"name": ""}, {"name": "\n"}, {"name": "x" * 100_000}]}, []),
        ({"task_queues": [{"name": str(n)} for n in range(100_000)]}, [str(n) for n in range(99)]),
    ],
)
def test_queues_are_read_by_their_names(conf: dict[str, Any], queues: list[str]) -> None:
    assert told(**conf).queues == queues


def test_what_differs_is_offered_once_and_what_is_alike_is_not() -> None:
    ours = Examine("redis://h", options={"priority_steps": "[0, 5]", "result_backend": "redis://h/1"})
    conf = {
        "event_exchange": "celeryev",
        "result_backend": "redis://h/1",
        "broker_transport_options": {"priority_steps": [0, 5], "fanout_prefix": True, "sep": ":"},
        "task_default_queue": "mail",
    }
    found = {"w2@h": told(**conf, control_exchange="other"), "w1@h": told(**conf)}
    assert offers(found, ours, ["celery"]) == [
        Offer("sep", ":", "w1@h"), Offer("queues", "mail", "w1@h"), Offer("control_exchange", "other", "w2@h"),
    ]  # fmt: skip
    assert offers({"w1@h": told(**conf)}, ours, ["mail"]) == [Offer("sep", ":", "w1@h")]


def test_only_what_a_kind_of_broker_understands_is_offered() -> None:
    conf = {"event_exchange": "ev", "broker_transport_options": {"sep": ":"}, "result_backend": "redis://h/1"}
    found = {"w@h": told(**conf)}
    assert [offer.option for offer in offers(found, Examine("amqp://h"), ())] == ["event_exchange", "result_backend"]


def test_a_crowd_of_workers_that_all_differ_is_not_all_listed() -> None:
    crowd = {f"w{n}\x1b@h": told(event_exchange=f"ev{n}") for n in range(1_000)}
    found = offers(crowd, BROKER, ())
    assert len(found) == MOST
    assert "\x1b" not in repr(found)


def test_an_answer_with_infinity_in_it_is_read() -> None:
    body = json.dumps({"w@h": {"result_backend_max_retries": float("inf"), "event_exchange": "ev"}}).encode()
    assert b"Infinity" in body
    assert read_answer(body, {"ticket": "t"}, "t")["w@h"]["event_exchange"] == "ev"
    for bad in (b"[Infinity]", b"{", b"NaN", b"\xff", b"[" * 100_000):
        assert read_answer(bad, {"ticket": "t"}, "t") == {}


# --- with a real worker ----------------------------------------------------------------------------------------------

SET = {
    "event_exchange": "shopev",
    "task_queues": {"mail": {"exchange": "mail"}, "celery": {}},
    "result_backend": "redis://:canary@127.0.0.1:6379/5",
    "worker_send_task_events": True,
    "task_send_sent_event": False,
}


@pytest.fixture(scope="module", params=["redis", "amqp"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker with a worker that has settings of its own."""
    log = tmp_path_factory.mktemp("worker") / "log"
    environment = {SETTINGS: json.dumps(SET)}
    with RedisServer() as redis:
        if request.param == "amqp":
            server = request.getfixturevalue("rabbitmq_server")
            server.make_virtual_host("settings")
            url = server.url_of("settings")
        else:
            url = redis.url
        with worker(url, "w1", log, "-Q", "celery", pool="solo", environment=environment) as process:
            ready(process)
            yield url
        if request.param == "amqp":
            server.remove_virtual_host("settings")


def ready(process: WorkerProcess) -> None:
    eventually(lambda: any("ready." in line for line in process.lines), "the worker is ready", within=60)


def by_name(found: list[Found]) -> dict[str, Found]:
    return {each.name: each for each in found}


def test_what_a_worker_has_set_is_offered_and_found_once_it_is_taken(running: str) -> None:
    found = by_name(examine(Examine(running), listen=0.1))
    offered = {offer.option: offer.value for offer in found["settings"].offers}
    assert offered == {"event_exchange": "shopev", "queues": "mail", "result_backend": "redis://127.0.0.1:6379/5"}
    assert found["settings"].ok is None
    assert "w1@test has event_exchange = shopev." in found["settings"].text
    assert "task_send_sent_event is off in the settings of w1@test" in found["task-sent"].text
    assert "canary" not in repr(found)
    options = {"event_exchange": offered["event_exchange"]}
    taken = by_name(examine(Examine(running, options=options, queues=["mail"]), listen=5.0))
    assert [offer.option for offer in taken["settings"].offers] == ["result_backend"]
    assert not taken["subscribe"].text.startswith("0 events")  # its heartbeats are heard now
    assert "none heard of w1@test; there was no work." in taken["task events"].text


def test_settings_are_not_asked_for_in_passive_mode(running: str) -> None:
    found = by_name(examine(Examine(running, mode="passive"), listen=0.1))
    assert "settings" not in found
    assert found["workers"].text == "they are not asked in passive mode."


def test_a_result_backend_is_tried_where_one_is_named() -> None:
    with RedisServer("--requirepass", "right") as server:
        url = f"redis://127.0.0.1:{server.port}"
        for password, ok in (("right", True), ("wrong", False), (None, False)):
            asked = Examine(f"{url}/0", "right", {"result_backend": f"{url.replace('127.0.0.1', 'localhost')}/1"})
            asked = Examine(asked.url, asked.password, asked.options, backend_password=password)
            found = by_name(examine(asked, listen=0.1))["result backend"]
            assert (found.ok, bool(found.remedy)) == (ok, not ok)
            assert "wrong" not in found.text


def test_queues_that_are_always_to_be_shown_are_looked_at(redis_server: RedisServer) -> None:
    with Redis.from_url(redis_server.url) as client:
        client.lpush("mail", "x", "y")
    found = by_name(Examination(Examine(redis_server.url, queues=["mail"]), listen=0.1).findings())  # type: ignore[arg-type]
    assert found["queues"].text == "1 found, 2 messages waiting."
