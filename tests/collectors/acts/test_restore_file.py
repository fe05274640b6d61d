"""Messages of a file put back: each once, as they were, and nothing of a file that is not as it was written."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis

from app.cli.purge import backup
from app.collectors import amqp as over_amqp
from app.collectors.access import Grant
from app.collectors.acts import restore_file
from app.collectors.acts.act import Impossible
from app.collectors.amqp_content import packed
from app.collectors.errors import BrokerError
from app.collectors.guard import NotAllowed
from app.collectors.publisher import SENT
from app.collectors.redis_filler import FILL, RedisFiller
from app.collectors.transport import redis_address
from app.models.acts import Discard, Outcome, Purge, RestoreFile
from app.models.backups import About, BackupReader, BackupWriter
from tests.helpers.acting import Actor, execute
from tests.helpers.amqp_raw import Raw, awkward, look, numbered, send
from tests.helpers.messages import fill, ids_of, lists_of, message
from tests.helpers.rabbits import client as rabbit
from tests.helpers.rabbits import declare, host_of, manage
from tests.helpers.servers import RabbitServer, RedisServer
from tests.helpers.waiting import eventually

LISTS = ("mail", *(f"mail\x06\x16{step}" for step in (3, 6, 9)))


@pytest.fixture
def actor(redis_server: RedisServer, tmp_path: Path) -> Actor:
    return Actor(redis_server.url, tmp_path)


def written(path: Path, messages: list[bytes], queue: str = "mail", broker: str = "elsewhere") -> RestoreFile:
    with BackupWriter(path, About(broker, queue, time.time())) as file:
        file.write(messages)
        file.finish()
    return RestoreFile(str(path))


def purged(actor: Actor, queue: str, path: Path) -> RestoreFile:
    """All of a queue in a file, and gone."""
    done = actor.do(Purge(queue, str(path)))
    assert done.state == "done"
    assert isinstance(done.undo, object)
    quarantine = done.undo.quarantine  # type: ignore[union-attr]
    discard = actor.prepare(Discard(quarantine))
    assert execute(discard).state == "done"
    return RestoreFile(str(path))


# --- Redis -----------------------------------------------------------------------------------------------------------


def test_what_was_purged_comes_back_byte_by_byte(actor: Actor, client: Redis, tmp_path: Path) -> None:
    fill(client, "mail", range(900))
    client.lpush("mail", b'{"odd": "\xff\x00"}')
    before = lists_of(client, "mail")
    wish = purged(actor, "mail", tmp_path / "copy")
    assert lists_of(client, "mail") == {}
    outcome = actor.do(wish)
    assert (outcome.state, outcome.done, outcome.text) == ("done", 901, "901 messages went into mail.")
    assert lists_of(client, "mail") == before
    assert not client.keys(f"{SENT}*")


def test_it_goes_behind_what_came_since(actor: Actor, client: Redis, tmp_path: Path) -> None:
    wish = written(tmp_path / "copy", [message("a"), message("b")])
    client.lpush("mail", message("new"))
    plan = actor.plan(wish)
    assert ("Waiting now", "1 message in mail, which come before") in plan.facts
    assert any("another broker, elsewhere" in caution.text for caution in plan.cautions)
    actor.do(wish)
    assert ids_of(client, "mail") == ["new", "a", "b"]


def test_what_is_there_already_is_left_out_unless_wanted_again(actor: Actor, client: Redis, tmp_path: Path) -> None:
    wish = written(tmp_path / "copy", [message(f"m{number}") for number in range(6)])
    client.lpush("mail", message("m1"))
    client.lpush("mail.quarantine.20260101T120000000Z", message("m5"))
    plan = actor.plan(wish)
    assert (plan.count, plan.title) == (4, "Put 4 messages of a file into the queue mail")
    assert ("Left out", "2 messages, in the broker already") in plan.facts
    assert actor.do(wish).done == 4
    assert ids_of(client, "mail") == ["m1", "m0", "m2", "m3", "m4"]
    assert "are in the broker already" in actor.refusal(wish)
    assert actor.do(RestoreFile(wish.file, again=True)).done == 6
    assert len(ids_of(client, "mail")) == 11


def test_in_another_queue_messages_say_that_they_are_there(actor: Actor, client: Redis, tmp_path: Path) -> None:
    wish = written(tmp_path / "copy", [message("a")], "mail.quarantine.20260101T120000000Z")
    actor.do(RestoreFile(wish.file, "slow"))
    (raw,) = lists_of(client, "slow")[0]
    assert b'"routing_key": "slow"' in raw
    actor.do(RestoreFile(wish.file, again=True))
    assert lists_of(client, "mail") == {0: [(tmp_path / "copy").read_bytes()[-44 - len(message("a")) : -44]]}


def test_what_still_waits_where_it_was_is_not_put_into_another_queue_besides(
    actor: Actor, client: Redis, tmp_path: Path
) -> None:
    client.lpush("mail", message("a"))
    wish = written(tmp_path / "copy", [message("a"), message("b")])
    assert actor.do(RestoreFile(wish.file, "slow")).done == 1
    assert (ids_of(client, "mail"), ids_of(client, "slow")) == (["a"], ["b"])


def test_it_is_said_where_not_all_could_be_compared(
    actor: Actor, client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.lpush("mail", message("new"))
    wish = written(tmp_path / "copy", [message("a")])
    assert not any("Only a part" in caution.text for caution in actor.plan(wish).cautions)
    monkeypatch.setattr("app.collectors.redis_finder.MOST", 1)
    assert any("Only a part" in caution.text and caution.grave for caution in actor.plan(wish).cautions)


@pytest.mark.parametrize("reading", range(5))
@pytest.mark.parametrize("change", ["gone", "another", "longer"])
def test_a_file_that_changes_while_it_is_read_ends_it_in_words(
    actor: Actor, client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, reading: int
) -> None:
    wish = written(path := tmp_path / "copy", [message(f"m{number}") for number in range(20)])
    other = written(tmp_path / "other", [message(f"x{number}") for number in range(20)])
    really, readings = BackupReader.messages, iter(range(5))

    def messages(reader: BackupReader) -> Iterator[bytes]:
        if next(readings) == reading:
            if change == "longer":
                path.write_bytes(path.read_bytes() + b"more")
            else:
                path.unlink()
            if change == "another":
                Path(other.file).rename(path)
        return really(reader)

    monkeypatch.setattr(BackupReader, "messages", messages)
    try:
        said = actor.do(wish).text
    except Impossible as error:
        said = str(error)
    assert "is sent of it." in said or "was sent of it." in said
    assert lists_of(client, "mail") == {}


@pytest.mark.parametrize("damage", ["changed", "cut"])
def test_nothing_is_sent_of_a_damaged_file(actor: Actor, client: Redis, tmp_path: Path, damage: str) -> None:
    wish = written(path := tmp_path / "copy", [message(f"m{number}") for number in range(20)])
    prepared = actor.prepare(wish)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data if damage == "changed" else data[: len(data) // 2])
    assert "Nothing was sent of it." in actor.refusal(wish)
    outcome = execute(prepared)
    assert outcome.state == "failed"
    assert "Nothing was sent of it." in outcome.text
    assert lists_of(client, "mail") == {}


def test_no_other_file_is_taken_for_the_one_that_was_looked_at(actor: Actor, client: Redis, tmp_path: Path) -> None:
    prepared = actor.prepare(written(path := tmp_path / "copy", [message("a")]))
    path.unlink()
    written(path, [message("b")])
    assert "is another file" in execute(prepared).text
    assert lists_of(client, "mail") == {}


@pytest.mark.parametrize(
    ("messages", "queue", "why"),
    [
        ([packed(b"\0\0", b"x")], "mail", "messages of a RabbitMQ, and this is a Redis"),
        ([b"what is this"], "mail", "a broker that is not known"),
        ([], "mail", "The file is empty"),
    ],
)
def test_what_can_not_be_put_back_is_said(
    actor: Actor, tmp_path: Path, messages: list[bytes], queue: str, why: str
) -> None:
    assert why in actor.refusal(written(tmp_path / "copy", messages, queue))


def test_neither_what_is_no_file_nor_a_quarantine_will_do(actor: Actor, tmp_path: Path) -> None:
    assert "can't be read" in actor.refusal(RestoreFile(str(tmp_path / "nothing")))
    (tmp_path / "other").write_text("no file of ours")
    assert "is not a file of messages" in actor.refusal(RestoreFile(str(tmp_path / "other")))
    wish = written(tmp_path / "copy", [message("a")])
    assert "is a quarantine" in actor.refusal(RestoreFile(wish.file, "mail.quarantine.20260101T120000000Z"))


@pytest.mark.parametrize("after", [False, True], ids=["before it is done", "after it was done"])
@pytest.mark.parametrize("number", [1, 2, 4])
def test_whatever_breaks_nothing_is_lost_or_doubled(
    actor: Actor, client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, after: bool
) -> None:
    fill(client, "mail", range(900))
    before = lists_of(client, "mail")
    wish = purged(actor, "mail", tmp_path / "copy")
    put, calls = RedisFiller.fill, 0

    def breaking(self: RedisFiller, first: int, behind: int, messages: list[bytes]) -> None:
        nonlocal calls
        calls += 1
        if calls != number or after:
            put(self, first, behind, messages)
        if calls == number:
            raise BrokerError("network", "The link broke.")

    monkeypatch.setattr(RedisFiller, "fill", breaking)
    prepared = actor.prepare(wish)
    assert execute(prepared).state == "failed"
    assert client.exists(f"{SENT}{prepared.id}") == (number > 1 or after)
    # What workers take meanwhile is not put back again.
    taken = client.rpop("mail")
    resumed = _resumed(actor, prepared.id)
    if resumed is not None:
        assert resumed.state == "done"
    left = lists_of(client, "mail")
    left[0] = [raw for raw in [taken, *left[0]] if isinstance(raw, bytes)]
    assert left == before


def test_it_can_be_stopped_and_gone_on_with(
    actor: Actor, client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(client, "mail", range(900))
    before = lists_of(client, "mail")
    prepared = actor.prepare(purged(actor, "mail", tmp_path / "copy"))
    put = RedisFiller.fill

    def stopping(self: RedisFiller, first: int, behind: int, messages: list[bytes]) -> None:
        prepared.stop()
        put(self, first, behind, messages)

    with monkeypatch.context() as patched:
        patched.setattr(RedisFiller, "fill", stopping)
        outcome = execute(prepared)
    assert (outcome.state, outcome.done) == ("stopped", 250)
    assert execute(actor.resume(prepared.id)).state == "done"
    assert lists_of(client, "mail") == before


def _resumed(actor: Actor, act: str) -> Outcome | None:
    """What became of what was left; None where nothing was."""
    try:
        return execute(actor.resume(act))
    except Impossible as error:
        assert "in the broker already" in str(error)  # noqa: PT017 - all other is a failure
        return None


def test_what_arrives_late_is_not_put_in_twice(redis_server: RedisServer, client: Redis) -> None:
    first, late = (
        RedisFiller(redis_address(redis_server.url), "act", "mail", Grant(), readdress=False, on_command=lambda _: None)
        for _ in range(2)
    )
    first.fill(0, 2, [message("a"), message("b")])
    with pytest.raises(BrokerError, match="Somebody else goes on with this act"):
        late.fill(0, 1, [message("a")])
    assert (late.reached(), ids_of(client, "mail")) == (2, ["a", "b"])
    first.close()
    late.close()


def test_it_goes_on_where_it_came_to(actor: Actor, client: Redis, tmp_path: Path) -> None:
    wish = written(tmp_path / "copy", [message("a"), message("b")])
    prepared = actor.prepare(wish)
    client.set(f"{SENT}{prepared.id}", 1)
    execute(prepared)
    assert ids_of(client, "mail") == ["b"]


# --- RabbitMQ --------------------------------------------------------------------------------------------------------


@pytest.fixture
def on_rabbitmq(rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path) -> Actor:
    return Actor(
        rabbitmq_url, tmp_path, options={"management_url": f"http://127.0.0.1:{rabbitmq_server.management_port}"}
    )


def sent(url: str, queue: str, messages: list[Raw], **arguments: int) -> list[Raw]:
    """A new queue with messages, as they wait there."""
    with rabbit(url) as channel:
        declare(channel, queue, **arguments)
        channel.tx_select()
        send(channel, queue, messages)
        channel.tx_commit()
        eventually(lambda: channel.queue_declare(queue, passive=True).message_count == len(messages), "the messages")
    return look(url, queue)


def test_on_rabbitmq_all_properties_come_back(on_rabbitmq: Actor, rabbitmq_url: str, tmp_path: Path) -> None:
    before = sent(rabbitmq_url, "mail", awkward(), x_max_priority=9)
    wish = purged(on_rabbitmq, "mail", tmp_path / "copy")
    assert look(rabbitmq_url, "mail") == []
    plan = on_rabbitmq.plan(wish)
    assert any("can't be told" in caution.text for caution in plan.cautions)
    assert on_rabbitmq.do(wish).state == "done"
    assert look(rabbitmq_url, "mail") == before


def test_on_rabbitmq_what_is_in_a_quarantine_is_left_out(on_rabbitmq: Actor, rabbitmq_url: str, tmp_path: Path) -> None:
    sent(rabbitmq_url, "mail", [numbered(number) for number in range(5)])
    wish = RestoreFile(str(tmp_path / "copy"))
    on_rabbitmq.do(Purge("mail", wish.file))
    with rabbit(rabbitmq_url) as channel:
        declare(channel, "mail.quarantine.by-hand")  # somebody else's, which only looks like one
    assert "in the broker already" in on_rabbitmq.refusal(wish)
    other = written(tmp_path / "other", [packed(numbered(9).properties, b"x")])
    assert any("in a quarantine is left out" in caution.text for caution in on_rabbitmq.plan(other).cautions)
    # Without the management API nobody tells that there is a quarantine.
    blind = Actor(rabbitmq_url, tmp_path / "blind").plan(wish)
    assert blind.count == 5
    assert any("Nor can it of all quarantines" in caution.text for caution in blind.cautions)


@pytest.mark.parametrize(
    "raw",
    [
        b"", bytes(7), bytes(8), (99).to_bytes(8) + b"\0\0abc", b"\xff" * 8 + b"\0\0abc", bytes(8) + b"\xff\xff",
        bytes(8) + b"\0\1", bytes(8) + b"\x00\x10\xff", bytes(8) + b"\x20\0\0\0\0\5\3CCxx",
        bytes(8) + b"\x20\0\0\0\0\5\2ab\xff\0", bytes(8) + b"\x20\0\0\0\0\x0e\2idS\0\0\0\1a\3CCxx",
    ],
)  # fmt: skip
def test_of_rabbitmq_a_message_that_can_not_be_read_is_said_before_any_is_sent(tmp_path: Path, raw: bytes) -> None:
    wish = written(tmp_path / "copy", [packed(*numbered(1)), b"\0\x3c\0\0" + raw])
    assert CliRunner().invoke(backup, [wish.file]).exit_code == 0
    assert "Message 2 of the file can't be read" in Actor("amqp://127.0.0.1:1//", tmp_path).refusal(wish)


def _breaking(monkeypatch: pytest.MonkeyPatch, last: int) -> list[int]:
    said, write = [0], over_amqp._OverLine.write

    def counting(self: over_amqp._OverLine, data: bytes) -> None:
        write(self, data)
        said[0] += 1
        if said[0] == last:
            raise ConnectionResetError("The link broke.")

    monkeypatch.setattr(over_amqp._OverLine, "write", counting)
    return said


def test_on_rabbitmq_nothing_is_lost_or_doubled_wherever_the_link_breaks(
    on_rabbitmq: Actor,
    rabbitmq_server: RabbitServer,
    rabbitmq_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [numbered(number, _12=b"\x02") for number in range(4)]
    wish = written(tmp_path / "copy", [packed(*row) for row in rows])
    broken = unheard = 0
    for last in range(1, 200):
        with rabbit(rabbitmq_url) as channel:
            channel.queue_delete("mail")
            declare(channel, "mail")
        prepared = on_rabbitmq.prepare(wish)
        with monkeypatch.context() as patched:
            said = _breaking(patched, last)
            outcome = execute(prepared)
        if outcome.state == "done" and said[0] < last:
            break
        broken += 1
        if outcome.state != "done":
            rest = execute(on_rabbitmq.resume(prepared.id))
            assert rest.state == "done"
            unheard += "was not heard" in rest.text
        assert look(rabbitmq_url, "mail") == rows
    assert broken > 20
    assert unheard > 2
    names = [each["name"] for each in manage(rabbitmq_server, "GET", f"queues/{host_of(rabbitmq_url)}")]
    assert sum(name.startswith(SENT) for name in names) <= 3, "but for links that broke when all was done"


def test_on_rabbitmq_a_full_queue_ends_it_and_it_goes_on_later(
    on_rabbitmq: Actor, rabbitmq_url: str, tmp_path: Path
) -> None:
    rows = [numbered(number) for number in range(5)]
    with rabbit(rabbitmq_url) as channel:
        declare(channel, "mail", x_max_length=2, x_overflow="reject-publish")
        prepared = on_rabbitmq.prepare(written(tmp_path / "copy", [packed(*row) for row in rows]))
        outcome = execute(prepared)
        assert outcome.state == "failed"
        assert "it is full. Make room there, and go on with this act." in outcome.text
        assert look(rabbitmq_url, "mail") == rows[:2]
        for _ in range(2):
            eventually(lambda: channel.basic_get("mail", no_ack=True), "a message")
        execute(on_rabbitmq.resume(prepared.id))
        assert look(rabbitmq_url, "mail") == rows[2:4]


def test_on_rabbitmq_files_have_a_most(on_rabbitmq: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_file, "MOST_OF_RABBITMQ", 2)
    wish = written(tmp_path / "copy", [packed(*numbered(number)) for number in range(3)])
    assert "more than 2 messages" in on_rabbitmq.refusal(wish)


@pytest.mark.parametrize(
    "words",
    [
        ("EVAL", "return 1", 2, f"{SENT}act", "mail"),
        ("EVAL", FILL, 5, f"{SENT}other", *LISTS, "0", "1"),
        ("EVAL", FILL, 5, f"{SENT}act", "slow", *LISTS[1:], "0", "1"),
        ("EVAL", f"{FILL} ", 5, f"{SENT}act", *LISTS, "0", "1"),
        ("LPUSH", "mail", "x"),
        ("GET", "mail"),
        ("DEL", "mail"),
        ("SET", f"{SENT}act", "1"),
    ],
)
def test_nothing_else_can_be_said_to_redis(redis_server: RedisServer, words: tuple[str | int, ...]) -> None:
    filler = RedisFiller(
        redis_address(redis_server.url), "act", "mail", Grant(), readdress=False, on_command=lambda _: None
    )
    with pytest.raises(NotAllowed):
        filler._client.execute_command(*words)  # type: ignore[no-untyped-call]
    filler.close()


def test_nothing_is_put_in_without_a_grant(redis_server: RedisServer, client: Redis) -> None:
    grant = Grant()
    filler = RedisFiller(
        redis_address(redis_server.url), "act", "mail", grant, readdress=False, on_command=lambda _: None
    )
    grant.end()
    with pytest.raises(BrokerError, match="locked"):
        filler.fill(0, 1, [message("a")])
    with pytest.raises(BrokerError, match="locked"):
        filler.settle()
    filler.close()
    assert not client.keys("*")


def test_what_is_no_list_ends_it_before_anything_is_changed(actor: Actor, client: Redis, tmp_path: Path) -> None:
    wish = written(tmp_path / "copy", [message("a"), message("b", priority=9)])
    prepared = actor.prepare(wish)
    client.set("mail\x06\x169", "no list")
    assert execute(prepared).state == "failed"
    assert client.keys("*") == [b"mail\x06\x169"]
