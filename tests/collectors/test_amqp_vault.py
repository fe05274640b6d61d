"""Quarantines on a real RabbitMQ: what was in a queue is in it again, to the last bit, whatever happens meanwhile."""

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import amqp
import pytest

from app.collectors import amqp_intake
from app.collectors.access import Grant
from app.collectors.amqp import amqp_address
from app.collectors.amqp_carrier import Carrier
from app.collectors.amqp_content import unpacked
from app.collectors.amqp_vault import AmqpVault
from app.collectors.errors import BrokerError
from app.models.quarantines import quarantine_name
from tests.helpers import rabbits
from tests.helpers.amqp_raw import Raw, awkward, joined, long, look, numbered, send, short
from tests.helpers.proxy import FaultProxy
from tests.helpers.rabbits import client, declare, host_of, make_user, manage
from tests.helpers.servers import RabbitServer
from tests.helpers.waiting import eventually

CLASSIC: dict[str, Any] = {"x-queue-type": "classic"}
KINDS = {
    "classic": CLASSIC,
    "with priorities": {"x-max-priority": 9},
    "lazy": {"x-queue-mode": "lazy"},
    "quorum": {"x-queue-type": "quorum"},
    "with dead letters and a limit": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead",
                                      "x-queue-type": "quorum", "x-delivery-limit": 2},
}  # fmt: skip
DOCUMENTED = Path(__file__).parents[2] / "docs" / "harmless.md"
QUARANTINE = "mail.quarantine.20260101T120000000Z"


@pytest.fixture
def channel(rabbitmq_url: str) -> Iterator[amqp.Channel]:
    with client(rabbitmq_url) as made:
        yield made


@pytest.fixture
def vault(rabbitmq_url: str) -> AmqpVault:
    return at(rabbitmq_url)


def at(url: str, **options: str) -> AmqpVault:
    return AmqpVault(amqp_address(url, options=options), "operate", on_command=lambda _: None)


def length(channel: amqp.Channel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).message_count)


def fill(channel: amqp.Channel, messages: list[Raw], arguments: dict[str, Any] = CLASSIC) -> None:
    channel.queue_declare("mail", durable=True, auto_delete=False, arguments=arguments)
    send(channel, "mail", messages)
    eventually(lambda: length(channel, "mail") == len(messages), "the messages")


def names(server: RabbitServer, url: str) -> set[str]:
    return set(rabbits.queues(server, url))


def bodies(messages: Iterable[Raw]) -> list[int]:
    return [int(each.body) for each in messages]


def lock_away(vault: AmqpVault, quarantine: str = QUARANTINE) -> int:
    return sum(vault.lock_away("mail", quarantine, Grant()))


def put_back(vault: AmqpVault, count: int | None = None) -> int:
    return sum(vault.put_back(QUARANTINE, "mail", Grant(), count))


# --- all of it, as it was --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", KINDS.values(), ids=KINDS)
def test_awkward_messages_come_back_bit_by_bit_and_in_their_order(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault, arguments: dict[str, Any]
) -> None:
    messages = awkward()
    fill(channel, messages, arguments)
    # A quorum queue notes in a message that it was looked at.
    before = messages if arguments.get("x-queue-type") == "quorum" else look(rabbitmq_url, "mail")
    if arguments is CLASSIC:
        assert before == messages, "RabbitMQ itself changes nothing"
    assert lock_away(vault) == len(messages)
    assert length(channel, "mail") == 0
    assert length(channel, QUARANTINE) == len(messages)
    assert vault.contents(QUARANTINE).total == len(messages)
    assert put_back(vault) == len(messages)
    assert look(rabbitmq_url, "mail") == before
    assert names(rabbitmq_server, rabbitmq_url) == {"mail"}, "nothing of ours is left"


def test_a_backup_is_the_messages_as_they_were(rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault) -> None:
    messages = awkward()
    fill(channel, messages)
    lock_away(vault)
    for _ in range(2):
        found = [Raw(*unpacked(each)) for some in vault.raw(QUARANTINE) for each in some]
        assert found == messages
    put_back(vault)
    assert look(rabbitmq_url, "mail") == messages
    with pytest.raises(BrokerError, match="not what waits"):
        next(vault.raw("mail"))


def test_each_priority_keeps_its_order_and_the_highest_is_first(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    fill(channel, [numbered(n, _11=bytes([n % 5])) for n in range(500)], {"x-max-priority": 4})
    expected = sorted(range(500), key=lambda n: -(n % 5))
    assert lock_away(vault) == 500
    assert bodies(look(rabbitmq_url, QUARANTINE)) == expected
    send(channel, "mail", [numbered(1_002, _11=b"\x02")])
    eventually(lambda: length(channel, "mail") == 1)
    assert put_back(vault) == 500
    first = expected.index(2)  # of the same priority as what came since
    assert bodies(look(rabbitmq_url, "mail")) == [*expected[:first], 1_002, *expected[first:]]


def test_what_came_since_is_before_what_is_put_back_and_that_is_said(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    fill(channel, [numbered(n) for n in range(3)])
    lock_away(vault)
    send(channel, "mail", [numbered(9)])
    eventually(lambda: length(channel, "mail") == 1)
    put_back(vault)
    assert bodies(look(rabbitmq_url, "mail")) == [9, 0, 1, 2]
    assert "go behind what came since" in vault.remarks("mail")[0].text


def test_so_many_are_put_back_the_first_ones_first(rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault) -> None:
    fill(channel, [numbered(n) for n in range(300)])
    lock_away(vault)
    assert put_back(vault, 120) == 120
    assert bodies(look(rabbitmq_url, "mail")) == [*range(120)]
    assert bodies_inside(vault) == [*range(120, 300)]
    assert put_back(vault, 1_000) == 180
    assert bodies(look(rabbitmq_url, "mail")) == [*range(300)]


def bodies_inside(vault: AmqpVault) -> list[int]:
    return [int(unpacked(each)[1]) for some in vault.raw(QUARANTINE) for each in some]


def test_nothing_expires_in_a_quarantine_or_goes_with_a_restart(channel: amqp.Channel, vault: AmqpVault) -> None:
    fill(channel, [numbered(1, _8=short(b"600000"), _12=b"\x01", _4=short(b"guest"))])
    lock_away(vault)
    got = channel.basic_get(QUARANTINE)
    assert "expiration" not in got.properties
    assert "user_id" not in got.properties
    assert got.properties["delivery_mode"] == 2
    assert got.headers["id"] == "t1", "another tool can put it back as well"


def test_headers_send_no_copies_elsewhere_and_the_id_of_another_user_is_no_hindrance(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    declare(channel, "copies")
    table = short(b"CC") + b"A" + long(b"S" + long(b"copies")) + short(b"k") + b"t\x01"
    fill(channel, [Raw(joined({13: long(table)}), b"1")])
    assert length(channel, "copies") == 1
    lock_away(vault)
    put_back(vault)
    assert length(channel, "copies") == 1
    assert look(rabbitmq_url, "mail") == [Raw(joined({13: long(short(b"k") + b"t\x01")}), b"1")]
    channel.queue_purge("mail")
    other = make_user(rabbitmq_server, rabbitmq_url, "sender", ".*", ".*", ".*")
    fill(channel, [numbered(1, _4=short(b"guest"))])
    assert sum(at(other).lock_away("mail", QUARANTINE, Grant())) == 1
    assert sum(at(other).put_back(QUARANTINE, "mail", Grant())) == 1
    assert look(rabbitmq_url, "mail") == [numbered(1)]


def test_of_a_quorum_queue_no_more_is_held_than_can_be(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(channel, [numbered(n) for n in range(3_000)], {"x-queue-type": "quorum"})
    lock_away(vault)
    for _ in range(2):
        assert bodies_inside(vault) == [*range(3_000)]
    monkeypatch.setattr(amqp_intake, "MOST_HELD", 3_000)
    declare(channel, "other")
    for refused in (vault.raw(QUARANTINE), vault.move(QUARANTINE, "other", ["t500"], Grant())):
        with pytest.raises(BrokerError, match="hands out at most"):
            list(refused)
    assert put_back(vault) == 3_000
    assert bodies(look(rabbitmq_url, "mail")) == [*range(3_000)]


# --- others, meanwhile -----------------------------------------------------------------------------------------------


def test_workers_and_senders_go_on_and_each_message_is_worked_on_once(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    fill(channel, [numbered(n) for n in range(3_000)])
    worked: list[int] = []
    ended = threading.Event()

    def send_on() -> None:
        with client(rabbitmq_url) as other:
            for n in range(3_000, 4_000):
                send(other, "mail", [numbered(n)])

    def work() -> None:
        with client(rabbitmq_url) as other:
            while not ended.is_set() or length(other, "mail"):
                if (got := other.basic_get("mail")) is not None:
                    worked.append(int(got.body))
                    other.basic_ack(got.delivery_tag)

    threads = [threading.Thread(target=target) for target in (send_on, work, work)]
    moving = vault.lock_away("mail", QUARANTINE, Grant())
    moved = next(moving)  # it has counted what is to be moved
    for thread in threads:
        thread.start()
    moved += sum(moving)
    assert 0 < moved <= 3_000
    assert put_back(vault) == moved
    threads[0].join()
    ended.set()
    for thread in threads:
        thread.join()
    assert sorted(worked) == [*range(4_000)]


def test_what_a_worker_has_already_is_not_moved(rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault) -> None:
    fill(channel, [numbered(n) for n in range(5)])
    got = channel.basic_get("mail")
    assert lock_away(vault) == 4
    channel.basic_reject(got.delivery_tag, requeue=True)
    assert bodies(look(rabbitmq_url, "mail")) == [0]


def test_what_is_sent_after_a_purge_began_stays_and_is_not_even_touched(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    fill(channel, [numbered(n) for n in range(2_000)])
    moving = vault.lock_away("mail", QUARANTINE, Grant())
    moved = next(moving)
    with client(rabbitmq_url) as other:
        send(other, "mail", [numbered(n) for n in range(2_000, 3_000)])
        eventually(lambda: length(other, "mail") >= 1_000, "the newcomers")
    assert moved + sum(moving) == 2_000
    assert bodies_inside(vault) == [*range(2_000)]
    got = [channel.basic_get("mail") for _ in range(1_000)]
    assert [int(each.body) for each in got] == [*range(2_000, 3_000)]
    assert not any(each.delivery_info["redelivered"] for each in got)


def test_a_queue_that_goes_with_its_last_consumer_does_not_go_with_a_purge(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    channel.queue_declare("mail", durable=True, auto_delete=True)
    send(channel, "mail", [numbered(n) for n in range(700)])
    eventually(lambda: length(channel, "mail") == 700)
    assert lock_away(vault) == 700
    assert put_back(vault) == 700
    assert bodies(look_by_get(channel)) == [*range(700)]


def look_by_get(channel: amqp.Channel) -> list[Raw]:
    channel.auto_decode = False
    found = []
    while (got := channel.basic_get("mail")) is not None:
        found.append(Raw(b"", got.body))
    return found


@pytest.mark.parametrize("exclusive", [False, True], ids=["single active consumer", "exclusive consumer"])
def test_a_queue_whose_messages_go_to_one_consumer_only_is_purged_beside_it(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault, *, exclusive: bool
) -> None:
    single = {} if exclusive else {"x-single-active-consumer": True}
    fill(channel, [numbered(n) for n in range(300)], CLASSIC | single)
    with client(rabbitmq_url) as worker:
        worker.basic_qos(0, 1, False)
        has: list[amqp.Message] = []
        worker.basic_consume("mail", exclusive=exclusive, callback=has.append)
        while not has:
            worker.connection.drain_events()
        assert lock_away(vault) == 299
    assert bodies_inside(vault) == [*range(1, 300)]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_copy_that_lacks_what_somebody_else_has_is_not_called_whole(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(channel, [numbered(n) for n in range(40)], {"x-queue-type": kind})
    lock_away(vault)
    length_of = Carrier.length

    def slow(carrier: Carrier, queue: str) -> tuple[int, int]:
        """Somebody takes one as soon as it was told how many there are."""
        told = length_of(carrier, queue)
        monkeypatch.setattr(Carrier, "length", length_of)
        taken.append(channel.basic_get(QUARANTINE))
        return told

    taken: list[amqp.Message] = []
    monkeypatch.setattr(Carrier, "length", slow)
    with pytest.raises(BrokerError, match=r"1 message of the quarantine could not be read"):
        bodies_inside(vault)
    channel.basic_reject(taken[0].delivery_tag, requeue=True)
    eventually(lambda: length(channel, QUARANTINE) == 40)


# --- single ones, moving, deleting -----------------------------------------------------------------------------------


def test_single_ones_leave_a_quarantine_and_the_others_stay_in_order(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    fill(channel, [numbered(n) for n in range(250)])
    lock_away(vault)
    declare(channel, "other")
    done = [item for some in vault.move(QUARANTINE, "other", ["t7", "t180", "t999"], Grant()) for item in some]
    assert [(item.id, item.ok) for item in done] == [("t7", True), ("t180", True), ("t999", False)]
    assert bodies(look(rabbitmq_url, "other")) == [7, 180]
    assert bodies_inside(vault) == [n for n in range(250) if n not in (7, 180)]


def test_a_queue_is_moved_to_another_and_single_ones_of_it_are_not(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    fill(channel, [numbered(n) for n in range(250)])
    with pytest.raises(BrokerError, match="no queue 'nosuch'"):
        list(vault.move("mail", "nosuch", None, Grant()))
    for single in (lambda: list(vault.move("mail", "other", ["t1"], Grant())), lambda: vault.find("mail", ["t1"])):
        with pytest.raises(BrokerError, match="can't take single messages"):
            single()
    with pytest.raises(BrokerError, match="no queue 'xxx"):
        vault.contents("x" * 256)
    assert length(channel, "mail") == 250
    declare(channel, "other")
    done = [item for some in vault.move("mail", "other", None, Grant()) for item in some]
    assert [item.id for item in done if item.ok] == [f"t{n}" for n in range(250)]
    assert look(rabbitmq_url, "other") == [numbered(n) for n in range(250)]
    assert names(rabbitmq_server, rabbitmq_url) == {"mail", "other"}


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_quarantine_is_deleted_unless_somebody_consumes_it(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault, kind: str
) -> None:
    fill(channel, [numbered(n) for n in range(3)], {"x-queue-type": kind})
    lock_away(vault)
    with client(rabbitmq_url) as other:
        other.basic_qos(0, 1, False)
        got: list[amqp.Message] = []
        other.basic_consume(QUARANTINE, callback=got.append)
        while not got:
            other.connection.drain_events()
        with pytest.raises(BrokerError, match="Somebody consumes"):
            list(vault.destroy(QUARANTINE, Grant()))
    eventually(lambda: length(channel, QUARANTINE) == 3)
    assert list(vault.destroy(QUARANTINE, Grant())) == [3]
    assert names(rabbitmq_server, rabbitmq_url) == {"mail"}
    for some in (vault.destroy("mail", Grant()), vault.put_back("mail", "mail", Grant())):
        with pytest.raises(BrokerError, match="'mail' is not the name of a quarantine"):
            list(some)


def test_quarantines_are_known_where_the_management_api_tells(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    fill(channel, [numbered(n) for n in range(3)])
    lock_away(vault)
    assert vault.quarantines() == []
    (known,) = vault.quarantines({QUARANTINE, quarantine_name("gone"), "mail"})
    assert (known.name, known.queue, known.total) == (QUARANTINE, "mail", 3)
    telling = at(rabbitmq_url, management_url=f"http://127.0.0.1:{rabbitmq_server.management_port}")
    (found,) = eventually(lambda: [each for each in telling.quarantines() if each.total], "its figures")
    assert (found.name, found.queue, found.made, found.total) == (QUARANTINE, "mail", 1_767_268_800.0, 3)


def test_a_restart_of_rabbitmq_is_outlived_and_told() -> None:
    with RabbitServer() as server:
        vault = at(server.url)
        with client(server.url) as made:
            fill(made, [numbered(n) for n in range(50)])
            lock_away(vault)
        assert not any("was started again since" in each.text for each in vault.remarks(QUARANTINE))
        server.stop()
        server.start()
        assert "was started again since" in vault.remarks(QUARANTINE)[1].text
        assert put_back(vault) == 50
        assert look(server.url, "mail") == [numbered(n) for n in range(50)]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "policy", "lost"),
    [
        ({"x-max-length": 7}, {}, "3 messages"), ({}, {"max-length": 9}, "1 message"), ({"x-max-length": 10}, {}, ""),
        ({"x-max-length": 8}, {"max-length": 6}, "4 messages"), ({}, {}, ""),
        ({"x-max-length": 7, "x-overflow": "reject-publish"}, {}, ""),
    ],
)  # fmt: skip
def test_that_a_bounded_queue_would_drop_messages_is_said_before(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, bound: Any, policy: Any, lost: str
) -> None:
    blind, telling = (
        at(rabbitmq_url),
        at(rabbitmq_url, management_url=f"http://127.0.0.1:{rabbitmq_server.management_port}"),
    )
    fill(channel, [numbered(n) for n in range(6)], CLASSIC | bound)
    lock_away(blind)
    fill(channel, [numbered(n) for n in range(4)], CLASSIC | bound)
    if policy:
        body = {"pattern": "^mail$", "definition": policy, "apply-to": "queues"}
        manage(rabbitmq_server, "PUT", f"policies/{host_of(rabbitmq_url)}/bound", body)
        place = f"queues/{host_of(rabbitmq_url)}/mail"
        eventually(lambda: manage(rabbitmq_server, "GET", place).get("policy") == "bound", "the policy")
    grave = [each.text for each in telling.remarks(QUARANTINE) if each.grave]
    assert [f"and {lost} would be lost" in text for text in grave] == ([True] if lost else [])
    assert any("can't be seen without the management API" in each.text for each in blind.remarks(QUARANTINE))


def test_a_policy_that_lets_messages_expire_is_seen_before_and_nothing_is_moved(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    assert "can't be seen without the management API" in vault.remarks("mail")[1].text
    body = {"pattern": "^mail", "definition": {"message-ttl": 3_600_000}, "apply-to": "queues"}
    manage(rabbitmq_server, "PUT", f"policies/{host_of(rabbitmq_url)}/hourly", body)
    fill(channel, [numbered(1)])
    telling = at(rabbitmq_url, management_url=f"http://127.0.0.1:{rabbitmq_server.management_port}")
    grave = [each.text for each in telling.remarks("mail") if each.grave]
    assert len(grave) == 1
    assert "The policy 'hourly' would have messages expire" in grave[0]
    with pytest.raises(BrokerError, match=r"'hourly' would have messages expire.*message-ttl"):
        list(telling.lock_away("mail", QUARANTINE, Grant()))
    assert names(rabbitmq_server, rabbitmq_url) == {"mail"}
    body |= {"pattern": "^mail$"}
    manage(rabbitmq_server, "PUT", f"policies/{host_of(rabbitmq_url)}/hourly", body)
    assert [each.grave for each in telling.remarks("mail")] == [False]
    assert list(telling.lock_away("mail", QUARANTINE, Grant())) == [1]


def test_a_quarantine_that_a_policy_bounds_refuses_and_drops_nothing(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    body = {"pattern": "quarantine", "definition": {"max-length": 150}, "apply-to": "queues"}
    manage(rabbitmq_server, "PUT", f"policies/{host_of(rabbitmq_url)}/short", body)
    fill(channel, [numbered(n) for n in range(1_000)])
    with pytest.raises(BrokerError, match=r"refused what was published: it is full.*Nothing is lost"):
        lock_away(vault)
    kept = bodies_inside(vault)
    assert kept
    eventually(lambda: {*kept, *bodies(look(rabbitmq_url, "mail"))} == {*range(1_000)}, "that the others are back")
    assert 0 < doubtful(vault) <= amqp_intake.MOST


def doubtful(vault: AmqpVault) -> int:
    """How many messages of the quarantine it tells to be in the queue as well."""
    told = [each.text for each in vault.remarks(QUARANTINE) if each.grave]
    return int(told[0].split()[0].replace(",", "")) if told else 0


def test_messages_that_vanish_from_a_quarantine_stop_the_purge(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    fill(channel, [numbered(n) for n in range(1_000)])
    moving = vault.lock_away("mail", QUARANTINE, Grant())
    moved = next(moving)
    channel.queue_purge(QUARANTINE)
    with pytest.raises(BrokerError, match=r"The quarantine has .* somebody takes them out"):
        list(moving)
    eventually(lambda: length(channel, "mail") == 1_000 - moved, "that the others are back")


@pytest.mark.parametrize(
    ("rights", "words"),
    [
        ({"configure": "^mail.q", "write": ".*", "read": ".*"}, "can't be told what kind of queue"),
        ({"configure": "^mail$", "write": ".*", "read": ".*"}, "does not permit it"),
        ({"configure": ".*", "write": "^$", "read": ".*"}, "does not permit it"),
        ({"configure": ".*", "write": ".*", "read": "^$"}, "does not permit it"),
    ],
    ids=["no right to configure it", "none to make a quarantine", "none to write", "none to read"],
)
def test_who_may_not_moves_nothing(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, rights: dict[str, str], words: str
) -> None:
    fill(channel, [numbered(n) for n in range(3)])
    url = make_user(rabbitmq_server, rabbitmq_url, "mover", **rights)
    with pytest.raises(BrokerError, match=words):
        lock_away(at(url))
    eventually(lambda: length(channel, "mail") == 3)


def test_the_rights_that_are_documented_are_enough(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel
) -> None:
    fill(channel, [numbered(n) for n in range(3)])
    names_ = r"^(mail|slow)(\.quarantine\..*)?$"
    assert names_ in DOCUMENTED.read_text(encoding="utf-8")
    vault = at(make_user(rabbitmq_server, rabbitmq_url, "narrow", names_, r"^amq\.default$", names_))
    assert lock_away(vault) == 3
    assert len(bodies_inside(vault)) == 3
    assert put_back(vault) == 3
    assert names(rabbitmq_server, rabbitmq_url) == {"mail"}


def test_what_is_no_queue_to_take_from_or_is_not_there_is_said(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    with pytest.raises(BrokerError, match="no queue 'mail'"):
        lock_away(vault)
    fill(channel, [])
    assert lock_away(vault) == 0
    assert names(rabbitmq_server, rabbitmq_url) == {"mail"}, "an empty queue needs no quarantine"
    with pytest.raises(BrokerError, match=f"no queue '{QUARANTINE}'"):
        put_back(vault)
    with pytest.raises(BrokerError, match="too long"):
        list(vault.lock_away("m" * 220, quarantine_name("m" * 220), Grant()))
    channel.queue_delete("mail")
    channel.queue_declare("mail", durable=True, auto_delete=False, arguments={"x-queue-type": "stream"})
    channel.basic_publish(amqp.Message("x"), "", "mail")
    eventually(lambda: length(channel, "mail") == 1)
    with pytest.raises(BrokerError, match="kind “stream”"):
        lock_away(vault)


# --- what breaks -----------------------------------------------------------------------------------------------------


def test_when_it_is_locked_again_no_more_is_moved_and_all_is_there(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    fill(channel, [numbered(n) for n in range(1_000)])
    grant = Grant()
    moving = vault.lock_away("mail", QUARANTINE, grant)
    moved = next(moving) + next(moving)
    grant.end()
    with pytest.raises(BrokerError, match="locked"):
        next(moving)
    eventually(lambda: length(channel, "mail") == 1_000 - moved)
    assert bodies(look(rabbitmq_url, "mail")) == [*range(moved, 1_000)]
    assert bodies_inside(vault) == [*range(moved)]
    assert doubtful(vault) == 0


@pytest.mark.parametrize("last", [1, 2, 3, 6])
def test_when_it_is_locked_in_the_middle_of_a_piece_that_is_moved_as_well(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    fill(channel, [numbered(n) for n in range(1_000)])
    grant = Grant()
    commit, commits = Carrier.end_commit, 0

    def locked(carrier: Carrier, unless_arrived: int | None = None) -> None:
        nonlocal commits
        commits += unless_arrived is None
        if commits == last:
            grant.end()
        commit(carrier, unless_arrived)

    monkeypatch.setattr(Carrier, "end_commit", locked)
    pieces: list[int] = []
    with pytest.raises(BrokerError, match="locked") as caught:
        pieces.extend(vault.lock_away("mail", QUARANTINE, grant))
    assert "under way" not in str(caught.value)
    monkeypatch.undo()
    moved = sum(pieces)
    eventually(lambda: length(channel, "mail") == 1_000 - moved)
    assert bodies(look(rabbitmq_url, "mail")) == [*range(moved, 1_000)]
    assert bodies_inside(vault) == [*range(moved)]
    assert doubtful(vault) == 0


@pytest.mark.parametrize("size", [131_052 - 40, 131_052])
def test_a_message_without_room_for_a_note_stays_and_that_is_said(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault, size: int
) -> None:
    own = joined({13: long(short(b"k") + b"S" + long(bytes(size - 13)))})
    assert len(own) == size
    fill(channel, [numbered(0), numbered(1), Raw(own, b"2"), numbered(3)])
    pieces: list[int] = []
    with pytest.raises(BrokerError, match=r"headers that are too long: RabbitMQ takes 131,052 bytes") as caught:
        pieces.extend(vault.lock_away("mail", QUARANTINE, Grant()))
    assert "under way" not in str(caught.value)
    moved = sum(pieces)
    assert moved >= 1
    eventually(lambda: length(channel, "mail") == 4 - moved)
    assert bodies(look(rabbitmq_url, "mail")) == [*range(moved, 4)]
    assert bodies_inside(vault) == [*range(moved)]
    assert doubtful(vault) == 0


def test_when_it_is_stopped_between_two_pieces_the_count_is_right(
    rabbitmq_url: str, channel: amqp.Channel, vault: AmqpVault
) -> None:
    fill(channel, [numbered(n) for n in range(1_000)])
    moving = vault.lock_away("mail", QUARANTINE, Grant())
    moved = sum(next(moving) for _ in range(5))
    del moving  # as the engine does
    assert bodies_inside(vault) == [*range(moved)]
    assert bodies(look(rabbitmq_url, "mail")) == [*range(moved, 1_000)]
    assert doubtful(vault) == 0


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_connection_that_is_cut_anywhere_loses_nothing_and_what_is_twice_is_known(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, kind: str
) -> None:
    """Cut after ever more of what RabbitMQ says: purge, then restore, each until it comes through."""
    total = 400
    messages = [numbered(n) for n in range(total)]
    fill(channel, messages, {"x-queue-type": kind})
    with FaultProxy(rabbitmq_server.port) as proxy:
        far = at(rabbitmq_url.replace(str(rabbitmq_server.port), str(proxy.port)))
        cuts = 0
        for step in range(12):
            proxy.truncate(600 + step * 3_370)
            for act in (far.lock_away("mail", QUARANTINE, Grant()), far.put_back(QUARANTINE, "mail", Grant())):
                try:
                    list(act)
                except BrokerError:
                    cuts += 1
            proxy.truncate(None)
            near = at(rabbitmq_url)
            check(near, rabbitmq_url, channel, total)
        assert cuts > 6


@pytest.mark.parametrize("kind", ["classic", "quorum"])
@pytest.mark.parametrize("act", ["purge", "restore"])
def test_a_connection_that_breaks_around_a_commit_doubles_nothing(
    rabbitmq_url: str, channel: amqp.Channel, monkeypatch: pytest.MonkeyPatch, act: str, kind: str
) -> None:
    """Before each commit, and after it: then RabbitMQ has done it, and nobody heard."""
    monkeypatch.setattr(amqp_intake, "MOST", 5)
    total, left = 20, []
    fill(channel, [numbered(n) for n in range(total)], {"x-queue-type": kind})
    commit = Carrier.begin_commit
    for last in range(1, 8):
        for heard in (False, True):
            vault, breaking = at(rabbitmq_url), Breaking(commit, last, after=heard)
            if act == "restore":
                lock_away(vault)
            monkeypatch.setattr(Carrier, "begin_commit", breaking)
            with pytest.raises(BrokerError, match="broker"):
                list(vault.lock_away("mail", QUARANTINE, Grant()) if act == "purge" else
                     vault.put_back(QUARANTINE, "mail", Grant()))  # fmt: skip
            monkeypatch.setattr(Carrier, "begin_commit", commit)
            left.append(check(vault, rabbitmq_url, channel, total))
    # How many of a piece have arrived when it is made is up to RabbitMQ.
    assert min(left) == 0, "before and after"
    assert 1 <= max(left) <= amqp_intake.MOST, "between"


class Breaking:
    """A commit that goes well, but for the one after so many: the connection breaks then, before it or after it."""

    def __init__(self, commit: Callable[[Carrier], None], last: int, *, after: bool) -> None:
        self._commit = commit
        self._left = last
        self._after = after

    def __get__(self, carrier: Carrier, _: type[Carrier]) -> Callable[[], None]:
        return lambda: self(carrier)

    def __call__(self, carrier: Carrier) -> None:
        self._left -= 1
        if self._left or self._after:
            self._commit(carrier)
        if not self._left:
            if self._after:
                carrier.end_commit()
            carrier.connection.sock.close()
            raise ConnectionResetError


def check(vault: AmqpVault, url: str, channel: amqp.Channel, total: int) -> int:
    """What is in the queue is each message once; how many are in the quarantine as well, all of which it tells of."""
    put_back_all(vault)
    eventually(lambda: length(channel, "mail") == total, "that what was under way is back")
    assert sorted(bodies(look(url, "mail"))) == [*range(total)]
    if there(channel):
        twice = bodies_inside(vault)
        assert len({*twice}) == len(twice) == doubtful(vault) <= 2 * amqp_intake.MOST
        list(vault.destroy(QUARANTINE, Grant()))
        return len(twice)
    return 0


def there(channel: amqp.Channel) -> bool:
    try:
        length(channel, QUARANTINE)
    except amqp.NotFound:
        return False
    return True


def put_back_all(vault: AmqpVault) -> None:
    try:
        put_back(vault)
    except BrokerError as error:
        assert error.fault == "absent"  # noqa: PT017 - it never came to be
