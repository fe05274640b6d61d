"""Looking into queues on a real RabbitMQ: what is fetched goes back to where it was, or is not fetched at all."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import amqp
import pytest
from celery import Celery

from app.collectors import amqp_messages
from app.collectors.amqp import amqp_address, amqp_connection
from app.collectors.amqp_guard import peeking
from app.collectors.amqp_messages import peek
from app.collectors.errors import BrokerError
from app.collectors.managed import Nature
from app.collectors.messages import Page, read_parts
from tests.helpers.rabbits import client, host_of, make_user, manage, queues
from tests.helpers.servers import RabbitServer
from tests.helpers.waiting import eventually

QUORUM = {"x-queue-type": "quorum"}
KINDS = {
    "classic": {},
    "named classic": {"x-queue-type": "classic"},
    "with priorities": {"x-max-priority": 9},
    "with dead letters": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead", "x-expires": 999_000},
    "lazy": {"x-queue-mode": "lazy"},
}  # fmt: skip


def fill(channel: amqp.Channel, queue: str, arguments: dict[str, Any], bodies: Sequence[str] = "abcdef") -> None:
    channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
    for body in bodies:
        headers = {"id": f"id-{body}", "task": "shop.buy"}
        message = amqp.Message(f'[["{body}"], {{}}, {{}}]', content_type="application/json",
                               application_headers=headers, delivery_mode=2)  # fmt: skip
        channel.basic_publish(message, "", queue)
    eventually(lambda: length(channel, queue) == len(bodies), "the messages")


def length(channel: amqp.Channel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).message_count)


def taken(channel: amqp.Channel, queue: str) -> list[str]:
    """What a worker would get, in order; nothing is left."""
    found = []
    while (got := channel.basic_get(queue, no_ack=True)) is not None:
        found.append(str(got.headers["id"]))
    return found


def ids(page: Page) -> list[str | None]:
    return [message.id for message in page.messages]


@pytest.fixture
def channel(rabbitmq_url: str) -> Iterator[amqp.Channel]:
    with client(rabbitmq_url) as made:
        yield made


def with_api(server: RabbitServer) -> dict[str, str]:
    return {"management_url": f"http://127.0.0.1:{server.management_port}"}


@pytest.mark.parametrize("arguments", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("api", [False, True], ids=["amqp alone", "management"])
def test_messages_are_as_many_and_in_the_same_order_after_looks(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, arguments: dict[str, Any], *, api: bool
) -> None:
    fill(channel, "mail", arguments)
    address = amqp_address(rabbitmq_url, options=with_api(rabbitmq_server) if api else None)
    for count in (2, 6, 100):
        page = peek(address, "mail", "operate", count=count)
        assert ids(page) == [f"id-{name}" for name in "abcdef"[:count]]
        assert (page.total, page.turns) == (6, False)
        eventually(lambda: length(channel, "mail") == 6, "that all are back")
    assert taken(channel, "mail") == [f"id-{name}" for name in "abcdef"]


def test_the_order_of_a_quorum_queue_without_a_limit_stays_as_well(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel
) -> None:
    fill(channel, "mail", QUORUM)
    address = amqp_address(rabbitmq_url, options=with_api(rabbitmq_server))
    for _ in range(25):
        assert ids(peek(address, "mail", "operate", count=3)) == ["id-a", "id-b", "id-c"]
        eventually(lambda: length(channel, "mail") == 6, "that all are back")
    assert taken(channel, "mail") == [f"id-{name}" for name in "abcdef"]


@pytest.mark.parametrize("count", [9, 20, 100])
def test_so_does_that_of_many_messages(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, count: int
) -> None:
    bodies = [f"{number:02}" for number in range(60)]
    expected = [f"id-{body}" for body in bodies]
    fill(channel, "mail", QUORUM, bodies)
    address = amqp_address(rabbitmq_url, options=with_api(rabbitmq_server))
    for _ in range(3):
        assert ids(peek(address, "mail", "operate", count=count)) == expected[:count]
        eventually(lambda: length(channel, "mail") == len(bodies), "that all are back")
    assert taken(channel, "mail") == expected


@pytest.mark.parametrize("how", ["argument", "policy"])
def test_a_quorum_queue_with_a_delivery_limit_is_not_looked_into(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, how: str
) -> None:
    if how == "policy":
        body = {"pattern": ".*", "definition": {"delivery-limit": 3}, "apply-to": "queues"}
        manage(rabbitmq_server, "PUT", f"policies/{host_of(rabbitmq_url)}/limited", body)
    fill(channel, "mail", QUORUM | ({"x-delivery-limit": 3} if how == "argument" else {}))
    if how == "policy":
        eventually(
            lambda: queues(rabbitmq_server, rabbitmq_url)["mail"].get("effective_policy_definition"), "the policy"
        )
    with pytest.raises(BrokerError, match="drops a message after 3 deliveries"):
        peek(amqp_address(rabbitmq_url, options=with_api(rabbitmq_server)), "mail", "operate")
    got = channel.basic_get("mail", no_ack=True)
    assert got.headers["x-delivery-count"] == 0, "it was never delivered"


def test_without_the_management_api_a_quorum_queue_is_not_looked_into(rabbitmq_url: str, channel: amqp.Channel) -> None:
    fill(channel, "mail", QUORUM)
    with pytest.raises(BrokerError, match=r"could cost a message.*management_url"):
        peek(amqp_address(rabbitmq_url), "mail", "operate")
    got = channel.basic_get("mail", no_ack=True)
    assert got.headers["x-delivery-count"] == 0


def test_a_stream_is_no_queue_to_look_into(rabbitmq_url: str, channel: amqp.Channel) -> None:
    channel.queue_declare("log", durable=True, auto_delete=False, arguments={"x-queue-type": "stream"})
    with pytest.raises(BrokerError, match="kind “stream” can't be looked into"):
        peek(amqp_address(rabbitmq_url), "log", "operate")


@pytest.mark.parametrize(
    ("nature", "version", "why"),
    [
        (Nature("classic"), "4.1.0", ""),
        (Nature("quorum"), "3.13.7", ""),
        (Nature("quorum"), "4.1.0", "after 20 deliveries"),
        (Nature("quorum"), "", "after 20 deliveries"),
        (Nature("quorum", 5), "3.13.7", "after 5 deliveries"),
    ],
)
def test_a_rabbitmq_that_limits_by_itself_is_known_by_its_version(nature: Nature, version: str, why: str) -> None:
    if not why:
        amqp_messages.refuse(nature, {"version": version}, asked=True)
        return
    with pytest.raises(BrokerError, match=why):
        amqp_messages.refuse(nature, {"version": version}, asked=True)


@pytest.mark.parametrize("declare", [False, True], ids=["absent", "absent to the API too"])
def test_a_queue_that_is_not_there_is_said_and_not_made(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, *, declare: bool
) -> None:
    options = with_api(rabbitmq_server) if declare else None
    with pytest.raises(BrokerError, match="has no queue 'nosuch'") as told:
        peek(amqp_address(rabbitmq_url, options=options), "nosuch", "operate")
    assert told.value.fault == "absent"
    assert "nosuch" not in queues(rabbitmq_server, rabbitmq_url)


def test_what_asks_for_the_kind_of_a_queue_makes_none_even_where_it_went_meanwhile(
    rabbitmq_server: RabbitServer, rabbitmq_url: str
) -> None:
    connection = amqp_connection(amqp_address(rabbitmq_url), "test", peeking("operate"))
    assert amqp_messages.nature_of(connection, "nosuch") is None
    connection.close()
    assert "nosuch" not in queues(rabbitmq_server, rabbitmq_url)


@pytest.mark.parametrize(
    ("arguments", "flags", "nature"),
    [
        ({}, {}, Nature("classic")),
        ({"x-max-priority": 9, "x-queue-mode": "lazy", "x-message-ttl": 999_000, "x-single-active-consumer": True}, {},
         Nature("classic", priorities=9)),
        ({"x-queue-type": "classic", "x-max-priority": 3}, {"durable": False}, Nature("classic", priorities=3)),
        (QUORUM | {"x-delivery-limit": 3}, {}, Nature("quorum")),
        ({}, {"auto_delete": True}, Nature("classic", auto_delete=True)),
    ],
)  # fmt: skip
def test_what_a_queue_is_can_be_asked_for_in_amqp_alone(
    rabbitmq_url: str, channel: amqp.Channel, arguments: dict[str, Any], flags: dict[str, bool], nature: Nature
) -> None:
    channel.queue_declare("mail", **({"durable": True, "auto_delete": False} | flags), arguments=arguments)
    connection = amqp_connection(amqp_address(rabbitmq_url), "test", peeking("operate"))
    assert amqp_messages.nature_of(connection, "mail") == nature
    connection.close()


def test_whoever_may_not_declare_is_told_what_to_do(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel
) -> None:
    fill(channel, "mail", {})
    url = make_user(rabbitmq_server, rabbitmq_url, "looker", configure="^$", write="^$", read=".*")
    with pytest.raises(BrokerError, match="management_url"):
        peek(amqp_address(url), "mail", "operate")
    url = make_user(rabbitmq_server, rabbitmq_url, "blind", configure=".*", write="^$", read="^$")
    with pytest.raises(BrokerError, match="does not permit it"):
        peek(amqp_address(url), "mail", "operate")
    assert taken(channel, "mail") == [f"id-{name}" for name in "abcdef"]


def test_a_message_of_an_application_says_its_task_its_arguments_and_that_it_was_looked_at(rabbitmq_url: str) -> None:
    app = Celery("shop", broker=rabbitmq_url, set_as_current=False)
    app.send_task("shop.buy", [1, "zwei"], {"k": None}, queue="mail", task_id="t1", priority=3, countdown=60,
                  compression="gzip")  # fmt: skip
    app.close()
    address = amqp_address(rabbitmq_url)
    for redelivered in (False, True):
        (message,) = peek(address, "mail", "operate").messages
        assert (message.id, message.name, message.priority) == ("t1", "shop.buy", 3)
        assert (message.args, message.kwargs, message.source) == ('[1, "zwei"]', '{"k": null}', "body")
        assert message.eta is not None
        assert message.redelivered == redelivered
        assert json.loads(message.headers or "")["compression"]


def test_only_so_many_bytes_are_fetched(
    rabbitmq_url: str, channel: amqp.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp_messages, "MAX_BYTES", 250)
    fill(channel, "mail", {}, [letter * 90 for letter in "abcdef"])
    assert len(peek(amqp_address(rabbitmq_url), "mail", "operate").messages) == 3
    assert len(taken(channel, "mail")) == 6


def test_a_slow_broker_is_not_kept_from_its_messages_for_long(
    rabbitmq_url: str, channel: amqp.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp_messages, "HELD", 0.0)
    fill(channel, "mail", {})
    assert peek(amqp_address(rabbitmq_url), "mail", "operate").messages == []
    assert len(taken(channel, "mail")) == 6


def test_workers_get_the_others_meanwhile_and_all_of_them_in_the_end(
    rabbitmq_url: str, channel: amqp.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(channel, "mail", {})
    delivered: list[str] = []
    read: Callable[..., Any] = read_parts

    def worked(*parts: Any) -> Any:
        """While a page of two is held, a worker consumes."""
        got = channel.basic_get("mail", no_ack=True)
        delivered.append(got.headers["id"])
        return read(*parts)

    monkeypatch.setattr(amqp_messages, "read_parts", worked)
    assert ids(peek(amqp_address(rabbitmq_url), "mail", "operate", count=2)) == ["id-a", "id-c"]
    assert delivered == ["id-b", "id-d"]
    assert taken(channel, "mail") == ["id-a", "id-c", "id-e", "id-f"]
