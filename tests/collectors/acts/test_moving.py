"""Purging and what comes after it, planned and carried out on a real Redis as the program does."""

import json
import random
import stat
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from app.collectors import redis_vault
from app.collectors.acts.act import Impossible
from app.collectors.errors import BrokerError
from app.collectors.redis_scripts import PUT_BACK
from app.models.acts import Delete, Discard, Move, Purge, Restore, Revoke, Wish
from app.models.backups import BackupReader
from app.models.profiles import Mode
from tests.helpers import rabbits
from tests.helpers.acting import Actor, execute
from tests.helpers.events import T0, stream
from tests.helpers.histories import recording
from tests.helpers.messages import fill, ids_of, key_of, lists_of, message
from tests.helpers.servers import RedisServer

QUARANTINE = "mail.quarantine.20261122T020728123Z"


@pytest.fixture
def actor(redis_server: RedisServer, tmp_path: Path) -> Actor:
    return Actor(redis_server.url, tmp_path)


def hold(client: Redis, id_: str, *, eta: str | None = None) -> None:
    """As a worker holds a message that it has not acknowledged."""
    raw = json.loads(message(id_))
    raw["headers"]["eta"] = eta
    client.hset("unacked", id_, json.dumps([raw, "", "mail"]))


def test_the_plan_of_a_purge_says_what_goes_where_and_what_stays(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    fill(client, "mail", range(12))
    hold(client, "held")
    hold(client, "later", eta="2099-01-01T00:00:00+00:00")
    history = tmp_path / "shop.cloche"
    with recording(history) as made:
        for id_, lines in (
            ("run", "1.0 sent queue=mail\n2.0 received\n3.0 started"),
            ("mail-0", "1.0 sent queue=mail"),
        ):
            made.play(stream(lines, id_))
        made.commit(5.0)
    plan = Actor(redis_server.url, tmp_path, history=history).plan(Purge("mail"))
    assert (plan.count, plan.things, plan.rate) == (12, "message", 0.0)
    facts = dict(plan.facts)
    assert {name: facts[name] for name in ("Messages", "Priority 0", "Priority 3", "Priority 6", "Priority 9")} == {
        "Messages": "12", "Priority 0": "3", "Priority 3": "3", "Priority 6": "3", "Priority 9": "3",
    }  # fmt: skip
    assert facts["Taken first"].startswith("shop.send, sent ")
    assert facts["Taken last"] == "shop.send, mail-11"
    assert facts["Quarantine"].startswith("mail.quarantine.")
    assert "kB" in facts["Size"]
    assert [(sample.id, sample.text) for sample in plan.samples[:2]] == [
        ("mail-0", "shop.send"),
        ("mail-4", "shop.send"),
    ]
    assert len(plan.samples) == 10
    assert plan.cautions[0].text == (
        "Not purged is what workers hold, prefetched or unacknowledged: 2 messages, 1 of them until their ETA. Of its "
        "tasks, 1 run now, and go on. What is sent from now on waits in the queue as before."
    )
    assert plan.undo.endswith("all is put back in its order, before what came since.")
    assert (plan.details["unacked"], plan.details["scheduled"], plan.details["running"]) == (2, 1, 1)
    assert len(lists_of(client, "mail")[0]) == 3


def test_a_purge_is_undone_by_what_it_says(actor: Actor, client: Redis) -> None:
    fill(client, "mail", range(500))
    before = lists_of(client, "mail")
    outcome = actor.do(Purge("mail"))
    assert (outcome.state, outcome.done, outcome.total) == ("done", 500, 500)
    assert isinstance(outcome.undo, Restore)
    assert outcome.text == f"500 messages of mail went into {outcome.undo.quarantine}."
    assert lists_of(client, outcome.undo.quarantine) == before
    client.lpush("mail", message("later"))
    assert dict(actor.plan(outcome.undo).facts)["Waiting now"] == "1 message in mail, which come after"
    client.delete("mail")
    restored = actor.do(outcome.undo)
    assert (restored.state, restored.done) == ("done", 500)
    assert restored.text == "500 messages went back into mail."
    assert lists_of(client, "mail") == before


def test_a04_nothing_is_purged_where_the_queue_has_changed_by_more_than_a_tenth(actor: Actor, client: Redis) -> None:
    chance = random.Random(4)
    refused = 0
    for _ in range(20):
        client.flushall()
        fill(client, "mail", range(100))
        prepared = actor.prepare(Purge("mail"))
        if chance.random() < 0.5:
            fill(client, "mail", range(200, 200 + chance.randint(11, 60)))
        else:
            for _ in range(chance.randint(11, 24)):
                client.rpop(key_of("mail", 0))
        before = lists_of(client, "mail")
        outcome = execute(prepared)
        assert lists_of(client, "mail") == before
        assert client.keys("*quarantine*") == []
        refused += outcome.state == "failed" and "Things have moved" in outcome.text
    assert refused == 20
    fill(client, "new", range(100))
    prepared = actor.prepare(Purge("new"))
    fill(client, "new", range(100, 110))
    assert execute(prepared).done == 110


@pytest.mark.parametrize(("wish", "why"), [
    (Purge("nothing"), "Nothing waits in the queue nothing"),
    (Purge(QUARANTINE), "is a quarantine"),
    (Delete(QUARANTINE, ["mail-1"]), "is a quarantine"),
    (Delete("mail", ["absent"]), "None of these messages waits in mail"),
    (Delete("mail", ["x"] * 10_001), "more than 10,000 messages"),
    (Restore("mail"), "is not a quarantine"),
    (Restore("gone.quarantine.20261122T020728123Z"), "nothing is left in it"),
    (Restore(QUARANTINE, ids=["absent"]), "None of these messages"),
    (Discard("mail"), "is not a quarantine"),
    (Discard("gone.quarantine.20261122T020728123Z"), "nothing is left in it"),
    (Move("mail", "mail"), "in this queue already"),
    (Move("mail", QUARANTINE), "is a quarantine"),
    (Move("nothing", "mail"), "Nothing waits"),
    (Purge("mail", backup="relative.bin"), "no folder"),
])  # fmt: skip
def test_what_can_t_be_done_is_said_before_anything_is(actor: Actor, client: Redis, wish: Wish, why: str) -> None:
    fill(client, "mail", range(4))
    fill(client, QUARANTINE, range(4))
    before = lists_of(client, "mail"), lists_of(client, QUARANTINE)
    with pytest.raises(Impossible, match=why):
        actor.prepare(wish)
    assert (lists_of(client, "mail"), lists_of(client, QUARANTINE)) == before


@pytest.mark.parametrize("name", ["unacked", "_kombu.binding.mail", "reply.celery.pidbox", "cloche.sent.act"])
def test_what_can_be_no_queue_is_neither_filled_nor_emptied(actor: Actor, client: Redis, name: str) -> None:
    fill(client, "mail", range(4))
    for wish in (Move("mail", name), Purge(name), Delete(name, ["mail-1"])):
        with pytest.raises(BrokerError, match="can be no queue"):
            actor.prepare(wish)
    assert len(lists_of(client, "mail")) == 4


def test_a_copy_holds_exactly_what_was_purged(actor: Actor, client: Redis, tmp_path: Path) -> None:
    fill(client, "mail", range(300))
    before = lists_of(client, "mail")
    path = tmp_path / "copy.bin"
    prepared = actor.prepare(Purge("mail", backup=str(path)))
    assert dict(prepared.plan.facts)["Copy"] == str(path)
    fill(client, "mail", [300])
    late = ids_of(client, "mail")[-1]
    outcome = execute(prepared)
    assert outcome.state == "done"
    assert outcome.text.endswith(f"A copy is in {path}.")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    reader = BackupReader(path)
    assert (reader.about.queue, reader.verify()) == ("mail", 301)
    raws = list(reader.messages())
    assert raws[:75] == before[0]
    assert json.loads(raws[75])["headers"]["id"] == late
    assert raws[76:] == before[3] + before[6] + before[9]
    assert list(tmp_path.glob(".*.part")) == []


def test_where_no_copy_can_be_written_nothing_is_purged(actor: Actor, client: Redis, tmp_path: Path) -> None:
    fill(client, "mail", range(4))
    path = tmp_path / "copy.bin"
    prepared = actor.prepare(Purge("mail", backup=str(path)))
    path.write_text("another's")
    outcome = execute(prepared)
    assert (outcome.state, outcome.done, outcome.undo) == ("failed", 0, None)
    assert "already" in outcome.text
    assert path.read_text() == "another's"
    assert len(ids_of(client, "mail")) == 1
    with pytest.raises(Impossible, match="already"):
        actor.prepare(Purge("mail", backup=str(path)))


def test_a_copy_that_comes_to_nothing_is_told_and_the_purge_can_be_undone(
    actor: Actor, client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(client, "mail", range(40))
    monkeypatch.setattr(redis_vault, "MAX_WHOLE", 100)
    outcome = actor.do(Purge("mail", backup=str(tmp_path / "copy.bin")))
    assert (outcome.state, outcome.done) == ("failed", 40)
    assert "too large" in outcome.text
    assert "There is no copy in a file." in outcome.text
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == []
    assert isinstance(outcome.undo, Restore)
    assert actor.do(outcome.undo).done == 40


def test_no_copy_is_made_where_arguments_are_not_to_be_kept(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    fill(client, "mail", range(4))
    actor = Actor(redis_server.url, tmp_path, keep_arguments=False)
    with pytest.raises(Impossible, match="not to be kept"):
        actor.plan(Purge("mail", backup=str(tmp_path / "copy.bin")))
    assert actor.do(Purge("mail")).done == 4


def test_nothing_that_tasks_are_called_with_is_written_into_the_audit_log(
    actor: Actor, client: Redis, tmp_path: Path
) -> None:
    client.lpush("mail", message("a", size=100))
    text = json.loads(message("a"))["body"]
    outcome = actor.do(Purge("mail"))
    actor.do(outcome.undo or Purge("mail"))
    written = (tmp_path / "audit.jsonl").read_text()
    assert "shop.send" in written
    assert "xxxx" not in written
    assert text not in written


def test_a_purge_that_was_done_when_it_was_broken_off_is_not_done_again(
    actor: Actor, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(client, "mail", range(20))
    prepared = actor.prepare(Purge("mail"))
    monkeypatch.setattr(type(actor.log), "conclude", lambda *_: None)  # as after a crash
    execute(prepared)
    fill(client, "mail", range(100, 110))
    with pytest.raises(Impossible, match="was done before it was broken off: 20 messages are in mail"):
        actor.resume(prepared.id)
    assert sum(map(len, lists_of(client, "mail").values())) == 10


def test_a_quarantine_is_really_deleted_by_typing_its_name(actor: Actor, client: Redis) -> None:
    fill(client, QUARANTINE, range(40))
    prepared = actor.prepare(Discard(QUARANTINE))
    assert prepared.plan.typed == QUARANTINE
    assert [caution.grave for caution in prepared.plan.cautions] == [True]
    assert prepared.plan.undo == "It can't be undone."
    assert "type" in list(prepared.execute("40"))[-1].text
    assert len(ids_of(client, QUARANTINE)) == 10
    outcome = actor.do(Discard(QUARANTINE))
    assert (outcome.state, outcome.done, outcome.undo) == ("done", 40, None)
    assert client.keys() == []


def test_single_messages_are_deleted_and_come_back_and_each_is_written_down(actor: Actor, client: Redis) -> None:
    fill(client, "mail", range(40))
    outcome = actor.do(Delete("mail", ["mail-4", "mail-1", "absent"]))
    assert (outcome.state, outcome.done, outcome.total) == ("done", 2, 2)
    assert "mail-4" not in ids_of(client, "mail")
    assert [item.id for entry in actor.entries for item in entry.items] == ["mail-4", "mail-1"]
    assert isinstance(outcome.undo, Restore)
    assert actor.do(outcome.undo).done == 2
    assert ids_of(client, "mail")[:2] == ["mail-4", "mail-0"]


def test_some_of_a_quarantine_are_restored_by_number_and_by_id(actor: Actor, client: Redis) -> None:
    fill(client, "mail", range(40))
    purged = actor.do(Purge("mail"))
    assert isinstance(purged.undo, Restore)
    name = purged.undo.quarantine
    assert actor.do(Restore(name, count=3)).text == "3 messages went back into mail."
    assert ids_of(client, "mail") == ["mail-0", "mail-4", "mail-8"]
    prepared = actor.prepare(Restore(name, ids=["mail-39", "mail-16", "mail-0"]))
    assert prepared.plan.count == 2
    assert [sample.id for sample in prepared.plan.samples] == ["mail-16", "mail-39"]
    assert execute(prepared).done == 2
    assert ids_of(client, "mail") == ["mail-16", "mail-0", "mail-4", "mail-8"]
    assert ids_of(client, "mail", 9) == ["mail-39"]


def test_no_more_are_restored_by_number_than_was_confirmed_whatever_broke_off(
    actor: Actor, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(client, "mail", range(40))
    purged = actor.do(Purge("mail"))
    assert isinstance(purged.undo, Restore)
    name = purged.undo.quarantine
    run, put_back = redis_vault.RedisVault._run, list[str]()

    def break_off(self: Any, client_: Any, script: str, *words: Any) -> int:
        put_back.extend([script] if script == PUT_BACK else [])
        if len(put_back) == 3:
            raise BrokerError("network", "It broke.")
        return run(self, client_, script, *words)

    with monkeypatch.context() as patch:
        patch.setattr(redis_vault.RedisVault, "_run", break_off)
        broken = actor.do(Restore(name, count=20))
    assert (broken.state, broken.done) == ("failed", 10)
    with pytest.raises(Impossible, match="was not written down"):
        actor.resume(broken.act)
    again = actor.do(Restore(name, count=5))
    assert (again.state, again.done) == ("failed", 0)
    assert f"In {name}.next is what was on its way" in again.text
    assert actor.do(Restore(f"{name}.next")).done == 10
    assert actor.do(Restore(name, count=5)).done == 5
    assert sum(map(len, lists_of(client, "mail").values())) == 25


def test_messages_that_were_moved_are_moved_back(actor: Actor, client: Redis) -> None:
    fill(client, "mail", range(8))
    outcome = actor.do(Move("mail", "slow", ["mail-0", "mail-5"]))
    assert (outcome.state, outcome.done) == ("done", 2)
    assert (ids_of(client, "slow"), ids_of(client, "slow", 3)) == (["mail-0"], ["mail-5"])
    assert isinstance(outcome.undo, Move)
    assert sorted(outcome.undo.ids) == ["mail-0", "mail-5"]
    assert actor.do(outcome.undo).done == 2
    assert lists_of(client, "slow") == {}
    assert ids_of(client, "mail") == ["mail-4", "mail-0"]


def test_a_whole_queue_is_moved_and_its_messages_are_counted_and_not_listed(
    actor: Actor, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_vault, "MOST", 50)
    fill(client, "mail", range(400))
    outcome = actor.do(Move("mail", "slow"))
    assert (outcome.state, outcome.done, outcome.items, outcome.undo) == ("done", 400, [], None)
    assert [entry.kind for entry in actor.entries] == ["intent", "outcome"]
    assert len(ids_of(client, "slow", 9)) == 100


def test_it_is_said_where_nobody_consumes_the_queue_that_messages_go_to(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    fill(client, "mail", range(4))
    history = tmp_path / "shop.cloche"
    with recording(history) as made:
        made.poll(1.0, slow=0).commit(5.0)
    actor = Actor(redis_server.url, tmp_path, history=history)
    assert not any(caution.grave for caution in actor.plan(Move("mail", "slow")).cautions)  # nobody knows
    grave = [caution.text for caution in actor.plan(Move("mail", "solw")).cautions if caution.grave]
    assert grave == ["No worker is known to consume solw: they would wait there."]


@pytest.mark.parametrize("environment", ["production", "unknown"])
def test_in_production_the_number_is_typed(
    redis_server: RedisServer, client: Redis, tmp_path: Path, environment: Any
) -> None:
    fill(client, "mail", range(4))
    actor = Actor(redis_server.url, tmp_path, environment=environment)
    prepared = actor.prepare(Purge("mail"))
    assert prepared.plan.typed == "4"
    assert list(prepared.execute("y"))[-1].state == "failed"
    assert len(lists_of(client, "mail")) == 4


def test_to_lock_ends_a_restore_between_two_pieces_and_it_can_be_gone_on_with(
    actor: Actor, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_vault, "MOST", 1)
    fill(client, "mail", range(200))
    before = lists_of(client, "mail")
    purged = actor.do(Purge("mail"))
    assert isinstance(purged.undo, Restore)
    fill(client, "mail", range(1_000, 1_008))
    since = lists_of(client, "mail")
    prepared = actor.prepare(purged.undo)
    run, count = redis_vault.RedisVault._run, [0]

    def run_and_lock(self: Any, *words: Any) -> int:
        count[0] += 1
        if count[0] == 20:
            actor.access.lock()
        return run(self, *words)

    monkeypatch.setattr(redis_vault.RedisVault, "_run", run_and_lock)
    outcome = execute(prepared)
    assert outcome.state == "failed"
    assert "locked" in outcome.text
    assert outcome.done == 19
    actor.access.unlock()
    rest = actor.resume(prepared.id)
    assert rest.plan.count == 181
    assert execute(rest).done == 181
    assert lists_of(client, "mail") == {step: before[step] + since[step] for step in before}


def test_the_time_that_messages_were_sent_is_told_where_it_is_known(
    redis_server: RedisServer, client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.lpush("mail", message("t1"))
    history = tmp_path / "shop.cloche"
    with recording(history) as made:
        made.play(stream("1.0 sent queue=mail", "t1")).commit(5.0)
    monkeypatch.setattr("app.collectors.acts.vault_act.time.time", lambda: T0 + 1 + 7_200)
    facts = dict(Actor(redis_server.url, tmp_path, history=history).plan(Purge("mail")).facts)
    assert facts["Oldest"] == facts["Newest"] == "shop.send, sent 2 h ago, t1"


@pytest.mark.parametrize("steps", [1, 7, 9])
def test_on_rabbitmq_it_is_told_where_messages_are_when_a_move_is_stopped(
    rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr("app.collectors.acts.engine.WRITE_EVERY", 0.0)
    with rabbits.client(rabbitmq_url) as channel:
        for queue in ("mail", "other"):
            rabbits.declare(channel, queue)
        rabbits.send(channel, "mail", 200)
        prepared = Actor(rabbitmq_url, tmp_path).prepare(Move("mail", "other"))
        outcomes = prepared.execute("200")
        for _ in range(steps):
            next(outcomes)
        prepared.stop()
        outcome = list(outcomes)[-1]
        assert outcome.state == "stopped"
        assert isinstance(outcome.undo, Restore)
        assert f"What was on its way is in the quarantine {outcome.undo.quarantine}" in outcome.text
        Actor(rabbitmq_url, tmp_path).do(outcome.undo)
        waiting = [channel.queue_declare(queue, passive=True).message_count for queue in ("mail", "other")]
        assert waiting == [200 - outcome.done, outcome.done]
        assert (outcome.done > 0) is (steps == 9)


@pytest.mark.parametrize("steps", [1, 7, 9])
def test_on_rabbitmq_a_move_goes_on_with_what_was_on_its_way(
    rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr("app.collectors.acts.engine.WRITE_EVERY", 0.0)
    actor = Actor(rabbitmq_url, tmp_path)
    with rabbits.client(rabbitmq_url) as channel:
        for queue in ("mail", "other"):
            rabbits.declare(channel, queue)
        rabbits.send(channel, "mail", 200)
        prepared = actor.prepare(Move("mail", "other"))
        outcomes = prepared.execute("200")
        done = [next(outcomes) for _ in range(steps)][-1].done
        prepared.stop()
        list(outcomes)
        left = actor.resume(prepared.id)
        assert left.plan.count == 200 - done
        assert execute(left).state == "done"
        waiting = [channel.queue_declare(queue, passive=True).message_count for queue in ("mail", "other")]
        assert waiting == [0, 200]


@pytest.mark.parametrize(
    "wish", [Delete("mail", ["t1"]), Move("mail", "other", ["t1"]), Revoke(["t1"], take_out=True)], ids=str
)
def test_on_rabbitmq_single_messages_of_a_queue_are_not_even_planned(
    rabbitmq_url: str, tmp_path: Path, wish: Wish
) -> None:
    with rabbits.client(rabbitmq_url) as channel:
        for queue in ("mail", "other"):
            rabbits.declare(channel, queue)
        rabbits.send(channel, "mail", 3)
    with pytest.raises((BrokerError, Impossible), match="can't take single messages out of a queue"):
        Actor(rabbitmq_url, tmp_path).plan(wish)


@pytest.mark.parametrize("mode", ["observe", "operate"])
def test_on_rabbitmq_a_plan_says_where_what_is_put_back_comes_to_lie(
    rabbitmq_url: str, tmp_path: Path, mode: Mode
) -> None:
    with rabbits.client(rabbitmq_url) as channel:
        rabbits.declare(channel, "mail")
        rabbits.send(channel, "mail", 3)
        undo = Actor(rabbitmq_url, tmp_path).do(Purge("mail")).undo
        assert undo is not None
        plan = Actor(rabbitmq_url, tmp_path, mode=mode).plan(undo)
        assert plan.count == 3
        assert any("behind" in caution.text for caution in plan.cautions)
        assert Actor(rabbitmq_url, tmp_path).do(undo).done == 3
        assert channel.queue_declare("mail", passive=True).message_count == 3
        assert "restored or discarded already" in Actor(rabbitmq_url, tmp_path, mode=mode).refusal(undo)
