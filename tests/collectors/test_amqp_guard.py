"""What may be said to a RabbitMQ: what is on the list of a purpose, about our own queues, and not a byte of else."""

import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import amqp
import msgspec
import pytest
from amqp import spec
from amqp.method_framing import frame_writer
from amqp.serialization import dumps

from app.collectors.access import Grant
from app.collectors.amqp import amqp_address, amqp_connection
from app.collectors.amqp_guard import (
    LEDGER,
    LOCK,
    LOOKING,
    NO_KIND,
    SIGNING_IN,
    Guard,
    asking,
    listening,
    moving,
    peeking,
    reckoning,
)
from app.collectors.amqp_sent import publishing
from app.collectors.control import Request
from app.collectors.errors import BrokerError
from app.collectors.guard import NotAllowed
from app.collectors.orders import ORDERS
from app.models.profiles import Mode
from tests.helpers import rabbits

DOCUMENTED = Path(__file__).parents[2] / "docs" / "harmless.md"
OURS = "celeryev.cloche.1"
ANSWERS = "1.reply.celery.pidbox"
BOUNDS = {"x-expires": 1, "x-max-length": 1, "x-max-length-bytes": 1}
GUARDS = {
    "signing in": SIGNING_IN,
    "looking": LOOKING,
    "listening": listening("celeryev", "operate"),
    "listening, passive": listening("celeryev", "passive"),
    "asking": asking("celery", "operate"),
    "asking, passive": asking("celery", "passive"),
    "telling": asking("celery", "operate", Grant()),
    "peeking": peeking("operate"),
    "peeking, observe": peeking("observe"),
    "reckoning": reckoning("operate"),
    "reckoning, observe": reckoning("observe"),
}
QUARANTINE = "mail.quarantine.20260101T120000000Z"
SENT_BY_US = "cloche.sent.act"


class Said(NamedTuple):
    """A method as py-amqp would be told to send it."""

    signature: tuple[int, int]
    form: str = ""
    arguments: Sequence[object] = ()
    content: amqp.Message | None = None


def sent(guard: Guard, said: Said) -> bytes:
    """The bytes that py-amqp makes of it, if the guard lets them through."""
    written: list[bytes] = []

    class Transport:
        @staticmethod
        def write(data: memoryview) -> None:
            guard.check(data)
            written.append(bytes(data))

    write = frame_writer(SimpleNamespace(frame_max=131_072, bytes_sent=0), Transport)
    write(1, 1, said.signature, dumps(said.form, said.arguments) if said.form else b"", said.content)
    return b"".join(written)


def declare(
    name: str,
    *,
    passive: bool = False,
    durable: bool = False,
    exclusive: bool = True,
    auto_delete: bool = True,
    arguments: Mapping[str, int | str] = BOUNDS,
) -> Said:
    told = (0, name, passive, durable, exclusive, auto_delete, False, arguments)
    return Said(spec.Queue.Declare, "BsbbbbbF", told)


def exchange(name: str, kind: str, *, durable: bool = False, passive: bool = False, auto_delete: bool = False) -> Said:
    told: tuple[object, ...] = (0, name, kind, passive, durable, auto_delete, False, False, {})
    return Said(spec.Exchange.Declare, "BssbbbbbF", told)


def bind(queue: str, to: str) -> Said:
    return Said(spec.Queue.Bind, "BsssbF", (0, queue, to, "#", False, {}))


def consume(queue: str, *, no_ack: bool = True) -> Said:
    return Said(spec.Basic.Consume, "BssbbbbF", (0, queue, "", False, no_ack, False, False, {}))


def get(queue: str, *, no_ack: bool = False) -> Said:
    return Said(spec.Basic.Get, "Bsb", (0, queue, no_ack))


def delete(queue: str) -> Said:
    return Said(spec.Queue.Delete, "Bsbbb", (0, queue, False, False, False))


def durable(queue: str) -> Said:
    return declare(queue, exclusive=False, auto_delete=False, durable=True, arguments={"x-max-priority": 9})


def publish(to: str, key: str = "", body: str = "x") -> Said:
    return Said(spec.Basic.Publish, "Bssbb", (0, to, key, True, False), amqp.Message(body))


def asked(command: str, **arguments: object) -> str:
    """A request as it is published."""
    request = Request.of(command, arguments, None, "reply.celery.pidbox", "id")
    return msgspec.json.encode(request).decode()


#: What would harm a broker that is in use, or could, whoever says it.
HARMFUL: dict[str, Said] = {
    "purge a queue": Said(spec.Queue.Purge, "Bsb", (0, "celery", False)),
    "purge our own": Said(spec.Queue.Purge, "Bsb", (0, OURS, False)),
    "delete a queue": Said(spec.Queue.Delete, "Bsbbb", (0, "celery", False, False, False)),
    "unbind a queue": Said(spec.Queue.Unbind, "BsssF", (0, "celery", "celery", "celery", {})),
    "delete an exchange": Said(spec.Exchange.Delete, "Bsbb", (0, "celery", False, False)),
    "bind exchanges": Said(spec.Exchange.Bind, "BsssbF", (0, "celeryev", "celery", "#", False, {})),
    "unbind exchanges": Said(spec.Exchange.Unbind, "BsssbF", (0, "celery", "celeryev", "#", False, {})),
    "consume a queue": consume("celery"),
    "consume a mailbox": consume("w1.celery.pidbox"),
    "take a message": Said(spec.Basic.Get, "Bsb", (0, "celery", True)),
    "acknowledge": Said(spec.Basic.Ack, "Lb", (1, False)),
    "throw away": Said(spec.Basic.Reject, "Lb", (1, False)),
    "throw all away": Said(spec.Basic.Nack, "Lbb", (1, True, False)),
    "recover": Said(spec.Basic.Recover, "b", (True,)),
    "recover without a word": Said(spec.Basic.RecoverAsync, "b", (True,)),
    "publish a task": publish("", "celery"),
    "publish a task by its exchange": publish("celery", "celery"),
    "publish an event": publish("celeryev", "task.sent"),
    "publish an answer": publish("reply.celery.pidbox", "1"),
    "publish to one mailbox": publish("", "w1.celery.pidbox"),
    "publish with a key": publish("celery.pidbox", "w1"),
    "begin a transaction": Said(spec.Tx.Select),
    "want confirmations": Said(spec.Confirm.Select, "b", (False,)),
    "set a prefetch": Said(spec.Basic.Qos, "lBb", (0, 1, True)),
    "stop the flow": Said(spec.Channel.Flow, "b", (False,)),
    "declare a queue": declare("celery", exclusive=False, auto_delete=False, durable=True, arguments={}),
    "declare a queue as if it were ours": declare("celery"),
    "declare one that stays": declare(OURS, exclusive=False),
    "declare one that does not go": declare(OURS, auto_delete=False),
    "declare a durable one": declare(OURS, durable=True),
    "declare one without bounds": declare(OURS, arguments={"x-expires": 1}),
    "declare one for answers that stays": declare(ANSWERS, exclusive=False),
    "declare one for answers without bounds": declare(ANSWERS, arguments={"x-max-length": 1}),
    "declare a mailbox": declare("w1.celery.pidbox"),
    "declare the task exchange": exchange("celery", "direct", durable=True),
    "declare the mailboxes": exchange("celery.pidbox", "fanout"),
    "declare events otherwise": exchange("celeryev", "fanout", durable=True),
    "declare events to be deleted": exchange("celeryev", "topic", durable=True, auto_delete=True),
    "declare events that go with a restart": exchange("celeryev", "topic"),
    "bind a queue of others": bind("celery", "celeryev"),
    "bind our own to tasks": bind(OURS, "celery"),
    "bind our answers to requests": bind(ANSWERS, "celery.pidbox"),
    "say what AMQP does not know": Said((99, 1)),
    "change the secret": Said((10, 70), "SS", ("a", "b")),
}  # fmt: skip
#: What each purpose is there for.
ALLOWED: list[tuple[str, Said]] = [
    ("looking", declare("celery", passive=True)),
    ("listening", declare(OURS)),
    ("listening", declare(OURS, passive=True)),
    ("listening", exchange("celeryev", "topic", passive=True)),
    ("listening", exchange("celeryev", "topic", durable=True)),
    ("listening, passive", exchange("celeryev", "topic", passive=True)),
    ("listening, passive", declare(OURS)),
    ("listening", bind(OURS, "celeryev")),
    ("listening", consume(OURS)),
    ("asking", exchange("celery.pidbox", "fanout", passive=True)),
    ("asking", exchange("reply.celery.pidbox", "direct")),
    ("asking", declare("w1.celery.pidbox", passive=True)),
    ("asking", declare(ANSWERS)),
    ("asking", bind(ANSWERS, "reply.celery.pidbox")),
    ("asking", consume(ANSWERS)),
    ("asking", Said(spec.Basic.Cancel, "sb", ("tag", False))),
    ("asking", publish("celery.pidbox", body=asked("ping"))),
    ("asking", publish("celery.pidbox", body=asked("query_task", ids=["i" * 255] * 200))),
    ("telling", publish("celery.pidbox", body=asked("pool_grow", n=1))),
    ("telling", publish("celery.pidbox", body=asked("ping"))),
    ("peeking", declare("celery", passive=True)),
    ("peeking", Said(spec.Basic.Get, "Bsb", (0, "celery", False))),
    ("peeking", declare("celery", arguments={"x-queue-type": NO_KIND, "x-max-priority": 9})),
    ("reckoning", declare("celery", passive=True)),
    ("reckoning", declare(QUARANTINE, arguments={"x-queue-type": NO_KIND})),
    ("reckoning", get(QUARANTINE)),
    ("reckoning", get(QUARANTINE + LEDGER)),
    ("reckoning", consume(QUARANTINE, no_ack=False)),
    ("reckoning", Said(spec.Basic.Qos, "lBb", (0, 9, False))),
    ("signing in", Said(spec.Connection.Close, "BsBB", (0, "", 0, 0))),
]


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
@pytest.mark.parametrize("said", HARMFUL.values(), ids=HARMFUL)
def test_h05_what_could_do_harm_is_never_put_on_the_wire(guard: Guard, said: Said) -> None:
    with pytest.raises(NotAllowed, match="does not send RabbitMQ"):
        sent(guard, said)


@pytest.mark.parametrize(("purpose", "said"), ALLOWED)
def test_what_is_on_the_list_is_sent_as_it_is(purpose: str, said: Said) -> None:
    assert sent(GUARDS[purpose], said) == sent(_Everything(), said)


@pytest.mark.parametrize(
    ("purpose", "said"),
    [
        ("looking", publish("celery.pidbox")),
        ("listening", publish("celery.pidbox")),
        ("listening", declare("celery", passive=True)),
        ("listening", declare(ANSWERS)),
        ("listening, passive", exchange("celeryev", "topic", durable=True)),
        ("asking", declare(OURS)),
        ("asking", declare("celery", passive=True)),
        ("asking, passive", publish("celery.pidbox", body=asked("ping"))),
        *(("asking", publish("celery.pidbox", body=asked(order))) for order in sorted(ORDERS)),
        ("asking", publish("celery.pidbox", body=asked("election"))),
        ("telling", publish("celery.pidbox", body=asked("election"))),
        ("telling", publish("celery.pidbox", body="x")),
        ("telling", publish("celery.pidbox", body=asked("ping", why="x" * 300_000))),
        ("asking, passive", declare(ANSWERS)),
        ("peeking, observe", Said(spec.Basic.Get, "Bsb", (0, "celery", False))),
        ("reckoning, observe", get(QUARANTINE)),
        ("reckoning", get("celery")),
        ("reckoning", get("x.quarantine.tomorrow")),
        ("reckoning", get(QUARANTINE, no_ack=True)),
        ("reckoning", consume(QUARANTINE)),
        ("reckoning", declare("celery", arguments={"x-queue-type": NO_KIND})),
        ("reckoning", durable(QUARANTINE)),
        ("reckoning", delete(QUARANTINE)),
        ("reckoning", publish("", QUARANTINE)),
        ("signing in", declare("celery", passive=True)),
    ],
)
def test_what_one_purpose_may_say_another_may_not(purpose: str, said: Said) -> None:
    with pytest.raises(NotAllowed):
        sent(GUARDS[purpose], said)


@pytest.mark.parametrize("order", sorted(ORDERS))
def test_a01_workers_are_told_something_as_long_as_a_grant_holds(order: str) -> None:
    grant = Grant()
    guard = asking("celery", "operate", grant)
    assert sent(guard, publish("celery.pidbox", body=asked(order)))
    grant.end()
    with pytest.raises(BrokerError, match="locked"):
        sent(guard, publish("celery.pidbox", body=asked(order)))
    assert sent(guard, publish("celery.pidbox", body=asked("ping")))


def test_the_lists_are_those_that_are_published() -> None:
    names = {
        f"{kind.__name__}.{name}".lower(): number
        for kind in (spec.Exchange, spec.Queue, spec.Basic, spec.Tx)
        for name, number in vars(kind).items()
        if isinstance(number, tuple)
    }
    rows = [
        line.split("|")[1:4]
        for line in DOCUMENTED.read_text(encoding="utf-8").splitlines()
        if "`queue.declare`" in line
    ]
    published = {
        purpose.strip(): {names[word] for word in re.findall(r"`(\w+\.\w+)`", told) if word in names}
        for purpose, _, told in rows
    }
    assert published == {
        "looking at queues": LOOKING.methods,
        "listening to events": GUARDS["listening"].methods,
        "asking workers": GUARDS["asking"].methods,
        "looking at messages": GUARDS["peeking"].methods,
        "looking into quarantines": GUARDS["reckoning"].methods,
        "running tasks again, sending one, putting a file back": publishing("act", Grant(), _is_mail).methods,
        "moving messages": moving("a", "b", QUARANTINE, Grant()).methods,
    }


#: What it takes to move messages, from ``mail`` into its quarantine and back.
MOVES = {
    "take one": get("mail"),
    "take one back": get(QUARANTINE),
    "look into the ledger": get(QUARANTINE + LEDGER),
    "consume": consume("mail", no_ack=False),
    "consume the quarantine": consume(QUARANTINE, no_ack=False),
    "bound it": Said(spec.Basic.Qos, "lBb", (0, 9, False)),
    "begin": Said(spec.Tx.Select),
    "publish": publish("", QUARANTINE),
    "publish back": publish("", "mail"),
    "make the quarantine": durable(QUARANTINE),
    "make the ledger": durable(QUARANTINE + LEDGER),
    "hold the lock": declare(QUARANTINE + LOCK),
    "delete the quarantine": delete(QUARANTINE),
    "delete the ledger": delete(QUARANTINE + LEDGER),
}
#: What it takes to bring a piece to its end, whose copies were made.
ENDS = {
    "write the ledger": publish("", QUARANTINE + LEDGER),
    "acknowledge": Said(spec.Basic.Ack, "Lb", (1, True)),
    "commit": Said(spec.Tx.Commit),
}


@pytest.mark.parametrize("said", MOVES.values(), ids=MOVES)
def test_what_it_takes_to_move_messages_is_sent_as_long_as_that_is_granted(said: Said) -> None:
    grant = Grant()
    guard = moving("mail", "mail", QUARANTINE, grant)
    assert sent(guard, said) == sent(_Everything(), said)
    grant.end()
    with pytest.raises(BrokerError, match="locked"):
        sent(guard, said)
    for question in (declare("mail", passive=True), declare("mail", arguments={"x-queue-type": NO_KIND})):
        assert sent(guard, question), "to ask is still allowed"


@pytest.mark.parametrize("said", ENDS.values(), ids=ENDS)
def test_what_ends_a_piece_that_was_copied_is_sent_when_the_grant_has_ended(said: Said) -> None:
    grant = Grant()
    grant.end()
    assert sent(moving("mail", "mail", QUARANTINE, grant), said) == sent(_Everything(), said)


@pytest.mark.parametrize(
    "said",
    [said for name, said in HARMFUL.items() if name not in ("acknowledge", "begin a transaction")]
    + [
        get("celery"), get("mail", no_ack=True), consume("celery", no_ack=False), consume("mail"), consume(QUARANTINE),
        publish("celery", "mail"), publish("", "celery"), publish("", QUARANTINE + LOCK),
        durable("mail"), durable("mail.quarantine.1"), durable("celery.quarantine.20260101T120000000Z"),
        declare(QUARANTINE), declare("mail.lock"), declare(QUARANTINE + LOCK, durable=True),
        declare("celery", passive=True), declare("celery", arguments={"x-queue-type": NO_KIND}),
        delete("mail"), delete("celery"), delete("celery.quarantine.20260101T120000000Z"),
        Said(spec.Tx.Rollback), Said(spec.Confirm.Select, "b", (False,)),
    ],
)  # fmt: skip
def test_nothing_else_is_sent_while_messages_are_moved(said: Said) -> None:
    with pytest.raises(NotAllowed):
        sent(moving("mail", "mail", QUARANTINE, Grant()), said)


def test_only_what_cloche_made_is_taken_for_a_quarantine() -> None:
    guard = moving("mail", "other", "celery", Grant())
    for said in (delete("celery"), durable("celery"), publish("", "celery"), get("celery"), declare("celery.lock")):
        with pytest.raises(NotAllowed):
            sent(guard, said)


def _is_mail(exchange: str, routing_key: str) -> bool:
    return (exchange, routing_key) == ("", "mail")


#: What it takes to publish what an act sends, to ``mail``.
SENDS = {
    "publish": publish("", "mail"),
    "write the ledger": publish("", SENT_BY_US),
    "read the ledger": get(SENT_BY_US),
    "begin": Said(spec.Tx.Select),
    "commit": Said(spec.Tx.Commit),
    "make the ledger": declare(
        SENT_BY_US, exclusive=False, auto_delete=False, durable=True, arguments={"x-expires": 1}
    ),
    "hold the lock": declare(SENT_BY_US + LOCK),
    "delete the ledger": delete(SENT_BY_US),
}  # fmt: skip


@pytest.mark.parametrize("said", SENDS.values(), ids=SENDS)
def test_what_it_takes_to_send_tasks_is_sent_as_long_as_that_is_granted(said: Said) -> None:
    grant = Grant()
    guard = publishing("act", grant, _is_mail)
    assert sent(guard, said) == sent(_Everything(), said)
    grant.end()
    with pytest.raises(BrokerError, match="locked"):
        sent(guard, said)
    assert sent(guard, declare("mail", passive=True)), "to ask is still allowed"


@pytest.mark.parametrize(
    "said",
    [said for name, said in HARMFUL.items() if name != "begin a transaction"]
    + [
        get("mail"), get(SENT_BY_US, no_ack=True), get("cloche.sent.other"), consume(SENT_BY_US), delete("mail"),
        publish("", "cloche.sent.other"), publish("mail", "mail"), durable(SENT_BY_US), declare(SENT_BY_US),
        declare("mail.lock"), Said(spec.Basic.Publish, "Bssbb", (0, "", "mail", False, False), amqp.Message("x")),
        Said(spec.Tx.Rollback),
    ],
)  # fmt: skip
def test_nothing_else_is_sent_while_tasks_are_sent(said: Said) -> None:
    with pytest.raises(NotAllowed):
        sent(publishing("act", Grant(), _is_mail), said)


class _Everything(Guard):
    def check(self, data: bytes | memoryview) -> None: ...


def test_a_sign_of_life_is_always_sent() -> None:
    for guard in GUARDS.values():
        guard.check(b"\x08\x00\x00\x00\x00\x00\x00\xce")


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\x00\x00",
        b"\x08\x00\x00\x00\x00\x00\x00\x00",
        b"\x08\x00\x00\x00\x00\x00\x09\xce",
        b"\x01\x00\x01\x00\x00\x00\x02\x00\x32\xce",
        b"\x05\x00\x00\x00\x00\x00\x00\xce",
        struct.pack(">BHIHHB", 1, 1, 4, *spec.Queue.Declare, 0xCE),
        b"\x08\x00\x00\x00\x00\x00\x00\xce" + struct.pack(">BHIHHB", 1, 1, 4, *spec.Queue.Purge, 0xCE),
        struct.pack(">BHIB", 3, 1, 0, 0xCE),
    ],
    ids=["cut", "no end", "too long", "half a method", "no known frame", "no arguments", "behind another", "a body"],
)
def test_what_is_no_whole_frame_of_ours_is_not_sent(data: bytes) -> None:
    with pytest.raises(NotAllowed):
        LOOKING.check(data)


@pytest.mark.parametrize("mode", ["passive", "observe"])
def test_nothing_reaches_the_broker_of_what_is_not_allowed(rabbitmq_url: str, mode: Mode) -> None:
    with rabbits.client(rabbitmq_url) as channel:
        channel.queue_declare("celery", auto_delete=False)
        channel.basic_publish(amqp.Message("x"), "", "celery")
        for guard in (LOOKING, SIGNING_IN, listening("celeryev", mode), asking("celery", mode), peeking(mode)):
            connection = amqp_connection(amqp_address(rabbitmq_url), "test", guard)
            ours = connection.channel()
            for say in (ours.queue_purge, ours.queue_delete, ours.basic_get, ours.basic_consume):
                with pytest.raises(NotAllowed):
                    say("celery")
            with pytest.raises(NotAllowed):
                ours.basic_publish(amqp.Message("y"), "", "celery")
            connection.close()
        assert channel.queue_declare("celery", passive=True).message_count == 1
