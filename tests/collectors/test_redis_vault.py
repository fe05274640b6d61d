"""Messages that are moved in a real Redis: none is lost or doubled, and each list is in its old order."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from app.collectors import redis_lists, redis_vault
from app.collectors.access import Grant
from app.collectors.brokers import broker_at
from app.collectors.errors import BrokerError
from app.collectors.redis_vault import RedisVault, readdressed
from app.collectors.transport import redis_address
from app.collectors.vault import Contents
from app.models.acts import Item
from app.models.quarantines import quarantine_name
from tests.collectors.conftest import command
from tests.helpers.messages import fill, ids_of, key_of, lists_of, message
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import HOST, RedisServer, SentinelServer
from tests.helpers.waiting import eventually

QUARANTINE = "mail.quarantine.20261122T020728123Z"


@contextmanager
def vault_at(url: str, options: dict[str, str] | None = None) -> Iterator[RedisVault]:
    made = RedisVault(redis_address(url, None, options), on_command=lambda _number: None)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def vault(redis_server: RedisServer) -> Iterator[RedisVault]:
    with vault_at(redis_server.url) as made:
        yield made


def items(moved: Iterator[list[Item]]) -> dict[str, bool | None]:
    return {item.id: item.ok for piece in moved for item in piece}


def test_what_waits_is_counted_by_priority_and_shown_from_both_ends(vault: RedisVault, client: Redis) -> None:
    fill(client, "mail", range(30))
    found = vault.contents("mail", samples=3)
    assert (found.total, found.by_priority) == (30, {0: 8, 3: 8, 6: 7, 9: 7})
    assert [sample.id for sample in found.samples] == ["mail-0", "mail-4", "mail-8"]
    assert found.oldest is not None
    assert found.newest is not None
    assert (found.oldest.id, found.newest.id) == ("mail-0", "mail-27")
    assert 30 * 300 < (found.size or 0) < 30 * 1_000
    assert vault.contents("nothing") == Contents(0, {}, 0)


def test_a_queue_is_locked_away_and_put_back_byte_by_byte(vault: RedisVault, client: Redis) -> None:
    fill(client, "mail", range(2_000))
    before = lists_of(client, "mail")
    assert list(vault.lock_away("mail", QUARANTINE, Grant())) == [2_000]
    assert lists_of(client, "mail") == {}
    assert lists_of(client, QUARANTINE) == before
    assert sum(vault.put_back(QUARANTINE, "mail", Grant())) == 2_000
    assert lists_of(client, "mail") == before
    assert client.keys("*quarantine*") == []


@pytest.mark.parametrize("newcomers", [1, 40, 43])
def test_what_was_purged_is_back_before_what_came_since(
    vault: RedisVault, client: Redis, monkeypatch: pytest.MonkeyPatch, newcomers: int
) -> None:
    monkeypatch.setattr(redis_vault, "MOST", 10)  # so that both ways are gone: more than ten newcomers, and fewer
    fill(client, "mail", range(100))
    before = lists_of(client, "mail")
    list(vault.lock_away("mail", QUARANTINE, Grant()))
    fill(client, "mail", range(1_000, 1_000 + newcomers))
    since = lists_of(client, "mail")
    pieces = list(vault.put_back(QUARANTINE, "mail", Grant()))
    assert sum(pieces) == 100
    assert len(pieces) == (4 if newcomers <= 40 else 10)  # three lists have eleven newcomers, the last has ten
    assert lists_of(client, "mail") == {step: before[step] + since.get(step, []) for step in before}


def test_some_of_a_quarantine_are_put_back_those_that_are_taken_next(vault: RedisVault, client: Redis) -> None:
    fill(client, "mail", range(40))
    before = lists_of(client, "mail")
    list(vault.lock_away("mail", QUARANTINE, Grant()))
    fill(client, "mail", [100, 101])
    assert sum(vault.put_back(QUARANTINE, "mail", Grant(), 13)) == 13
    assert ids_of(client, "mail", 0) == [*(f"mail-{number}" for number in range(0, 40, 4)), "mail-100"]
    assert ids_of(client, "mail", 3) == ["mail-1", "mail-5", "mail-9", "mail-101"]
    assert lists_of(client, QUARANTINE)[3] == before[3][3:]
    assert sum(vault.put_back(QUARANTINE, "mail", Grant(), 1_000)) == 27
    rest = {step: len(raws) for step, raws in lists_of(client, "mail").items()}
    assert rest == {0: 11, 3: 11, 6: 10, 9: 10}
    assert ids_of(client, "mail", 3)[:7] == [f"mail-{number}" for number in range(13, 40, 4)]
    assert client.keys("*quarantine*") == []


def test_what_was_set_aside_when_it_was_broken_off_is_put_back_before_any_other(
    vault: RedisVault, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_vault, "MOST", 4)
    fill(client, "mail", range(0, 80, 4))
    before = lists_of(client, "mail")
    list(vault.lock_away("mail", QUARANTINE, Grant()))
    ended = Grant()
    for _ in vault.put_back(QUARANTINE, "mail", ended, 10):
        ended.end()
        break
    assert [each.name for each in vault.quarantines()] == [QUARANTINE, f"{QUARANTINE}.next"]
    with pytest.raises(BrokerError, match=r"Z\.next is what was on its way"):
        list(vault.put_back(QUARANTINE, "mail", Grant(), 2))
    assert lists_of(client, "mail") == {}
    assert sum(vault.put_back(f"{QUARANTINE}.next", "mail", Grant())) == 4
    assert lists_of(client, "mail") == {0: before[0][:4]}
    assert lists_of(client, QUARANTINE) == {0: before[0][4:]}


def test_a_quarantine_that_is_there_is_not_written_over(vault: RedisVault, client: Redis) -> None:
    fill(client, "mail", range(8))
    fill(client, QUARANTINE, [2])
    before = lists_of(client, "mail")
    with pytest.raises(BrokerError, match="already"):
        list(vault.lock_away("mail", QUARANTINE, Grant()))
    assert lists_of(client, "mail") == before
    assert ids_of(client, QUARANTINE, 6) == [f"{QUARANTINE}-2"]


def test_what_is_no_queue_is_not_moved_and_neither_is_anything_beside_it(vault: RedisVault, client: Redis) -> None:
    fill(client, "mail", [0])
    client.hset(key_of("mail", 6), "x", "y")
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        list(vault.lock_away("mail", QUARANTINE, Grant()))
    assert client.keys("*quarantine*") == []
    client.delete(key_of("mail", 6))
    assert ids_of(client, "mail") == ["mail-0"]


def test_single_messages_go_into_a_quarantine_as_they_are_and_come_back_in_order(
    vault: RedisVault, client: Redis
) -> None:
    fill(client, "mail", range(60))
    before = lists_of(client, "mail")
    wanted = ["mail-8", "mail-0", "mail-7", "absent", "mail-24"]
    found = vault.find("mail", wanted)
    assert found is not None
    assert sorted(each.id or "" for each in found) == ["mail-0", "mail-24", "mail-7", "mail-8"]
    moved = items(vault.move("mail", QUARANTINE, wanted, Grant()))
    assert moved == {"absent": False, "mail-0": True, "mail-8": True, "mail-24": True, "mail-7": True}
    assert lists_of(client, QUARANTINE) == {0: [before[0][place] for place in (0, 2, 6)], 9: [before[9][1]]}
    assert items(vault.move(QUARANTINE, "mail", ["mail-0", "mail-24"], Grant())) == {"mail-0": True, "mail-24": True}
    assert ids_of(client, "mail")[:3] == ["mail-0", "mail-24", "mail-4"]
    assert lists_of(client, "mail")[0][:2] == [before[0][0], before[0][6]]
    assert ids_of(client, QUARANTINE) == ["mail-8"]


def test_a_message_that_moves_to_another_queue_names_that_queue_and_stays_what_it_is(
    vault: RedisVault, client: Redis
) -> None:
    fill(client, "mail", range(8))
    fill(client, "slow", [0])
    before = lists_of(client, "mail")
    assert items(vault.move("mail", "slow", ["mail-4", "mail-1"], Grant())) == {"mail-4": True, "mail-1": True}
    assert ids_of(client, "slow") == ["slow-0", "mail-4"]
    assert ids_of(client, "slow", 3) == ["mail-1"]
    told, was = json.loads(lists_of(client, "slow")[3][0]), json.loads(before[3][0])
    assert told["properties"].pop("delivery_info") == {"exchange": "", "routing_key": "slow"}
    assert was["properties"].pop("delivery_info") == {"exchange": "", "routing_key": "mail"}
    assert told == was


def test_a_whole_queue_moves_behind_what_waits_in_another_by_priority(
    vault: RedisVault, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_vault, "MOST", 7)
    fill(client, "mail", range(100))
    fill(client, "slow", [0, 1])
    client.lpush("mail", b"no message")
    moved = [item for piece in vault.move("mail", "slow", None, Grant()) for item in piece]
    assert len(moved) == 101
    assert lists_of(client, "mail") == {}
    raws = lists_of(client, "slow")
    assert raws[0].pop() == b"no message"
    assert [json.loads(raw)["headers"]["id"] for raw in raws[0]] == ["slow-0", *(f"mail-{n}" for n in range(0, 100, 4))]
    assert ids_of(client, "slow", 9) == [f"mail-{number}" for number in range(3, 100, 4)]
    assert {json.loads(raw)["properties"]["delivery_info"]["routing_key"] for raw in raws[6]} == {"slow"}


def test_others_have_the_broker_between_two_pieces_for_as_long_as_a_piece_took(
    vault: RedisVault, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantine = quarantine_name("mail")
    fill(client, "mail", range(0, 4 * 1_000, 4))
    assert list(vault.lock_away("mail", quarantine, Grant())) == [1_000]
    fill(client, "mail", range(0, 4 * 300, 4), name="since")
    slept = list[float]()
    monkeypatch.setattr("app.collectors.redis_vault.time.sleep", slept.append)
    assert list(vault.put_back(quarantine, "mail", Grant())) == [250, 250, 250, 250]
    assert all(0 < pause <= redis_vault.MAX_PAUSE for pause in slept[1:4]), slept


def test_what_workers_take_meanwhile_is_neither_moved_nor_missed(
    vault: RedisVault, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(client, "mail", range(0, 40, 4))
    taken: list[bytes] = []
    look = vault._next

    def look_and_lose(key: str, number: int) -> list[bytes]:
        found = look(key, number)
        if not taken:
            taken.extend(client.rpop(key) for _ in range(3))  # type: ignore[misc]
        return found

    monkeypatch.setattr(vault, "_next", look_and_lose)
    assert sum(len(piece) for piece in vault.move("mail", "slow", None, Grant())) == 7
    assert ids_of(client, "slow") == [f"mail-{number}" for number in range(12, 40, 4)]
    assert lists_of(client, "mail") == {}


def test_a_message_that_a_worker_took_is_told_and_nothing_is_left_in_its_place(
    vault: RedisVault, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(client, "mail", [0, 4])
    places = vault._places("mail", ["mail-0", "mail-4"])
    client.rpop("mail")
    monkeypatch.setattr(vault, "_places", lambda *_: places)
    assert items(vault.move("mail", QUARANTINE, ["mail-0", "mail-4"], Grant())) == {"mail-0": False, "mail-4": True}
    assert ids_of(client, QUARANTINE) == ["mail-4"]


def test_a_message_is_taken_out_from_the_nearer_end_and_not_where_it_lies_too_deep(
    vault: RedisVault, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_vault, "DEEPEST", 10)
    fill(client, "mail", range(0, 200, 4))
    ids = [f"mail-{number}" for number in (0, 36, 40, 100, 156, 160, 196)]
    assert [place.end for place in vault._places("mail", ids).values()] == [-1, -1, 1, 1]
    moved = items(vault.move("mail", QUARANTINE, ids, Grant()))
    assert [id_ for id_, ok in moved.items() if ok] == ["mail-0", "mail-36", "mail-160", "mail-196"]
    # One that came to lie deeper since it was seen is not searched for.
    places = vault._places("mail", ["mail-192"])
    fill(client, "mail", range(1_000, 1_048, 4))
    monkeypatch.setattr(vault, "_places", lambda *_: places)
    assert items(vault.move("mail", QUARANTINE, ["mail-192"], Grant())) == {"mail-192": False}
    assert "mail-192" in ids_of(client, "mail")


def test_a_redis_that_reads_from_one_end_only_does_not_go_to_the_other_end_of_a_long_list(
    vault: RedisVault, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_vault, "DEEPEST", 10)
    monkeypatch.setattr(redis_lists, "REACH", 1)
    fill(client, "mail", range(0, 400, 4))
    ids = ["mail-0", "mail-200", "mail-396"]
    assert sorted(vault._places("mail", ids)) == ["mail-0", "mail-396"]
    size = vault.contents("mail").size or 0
    monkeypatch.setattr(redis_vault, "MAX_WHOLE", size + 1_000)
    assert sum(len(piece) for piece in vault.raw("mail")) == 100
    monkeypatch.setattr(redis_lists, "NEARER_END", 99)
    assert sorted(vault._places("mail", ids)) == ["mail-396"]
    with pytest.raises(BrokerError, match="too large"):
        list(vault.raw("mail"))


def test_quarantines_are_listed_and_destroyed_for_good(vault: RedisVault, client: Redis) -> None:
    fill(client, "mail", range(10))
    fill(client, "a*b", range(3))
    client.set("not.quarantine.one", "x")
    other = quarantine_name("a*b")
    list(vault.lock_away("mail", QUARANTINE, Grant()))
    list(vault.lock_away("a*b", other, Grant()))
    found = {each.name: each for each in vault.quarantines()}
    assert sorted(found) == sorted([QUARANTINE, other])
    assert (found[QUARANTINE].queue, found[QUARANTINE].total, found[other].queue) == ("mail", 10, "a*b")
    assert found[QUARANTINE].made == pytest.approx(1795313248.123)
    assert list(vault.destroy(QUARANTINE, Grant())) == [10]
    assert [each.name for each in vault.quarantines()] == [other]
    assert lists_of(client, QUARANTINE) == {}


def test_all_messages_are_read_in_the_order_in_which_they_are_taken(
    vault: RedisVault, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_vault, "READ_BYTES", 3_000)
    fill(client, "mail", range(100))
    raws = [raw for piece in vault.raw("mail") for raw in piece]
    assert raws == [raw for each in lists_of(client, "mail").values() for raw in each]


@pytest.mark.parametrize("taken", [1, 20, 200])
def test_a_queue_that_workers_empty_is_read_without_gap_or_repetition(
    vault: RedisVault, client: Redis, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    monkeypatch.setattr(redis_vault, "READ_BYTES", 20_000)
    ids = fill(client, "mail", range(0, 4_000, 4))
    found: list[str] = []
    for number, piece in enumerate(vault.raw("mail")):
        found += [json.loads(raw)["headers"]["id"] for raw in piece]
        client.rpop("mail", taken)
        fill(client, "mail", range(number * 8, number * 8 + 8, 4), name="new")
    old = [id_ for id_ in found if id_.startswith("mail")]
    assert len(found) == len(set(found))
    assert old == sorted(old, key=ids.index)
    # What is missing was taken before it was reached.
    assert not (set(ids) - set(old)) & set(ids_of(client, "mail"))


def test_nothing_is_moved_when_a_grant_has_ended(vault: RedisVault, client: Redis) -> None:
    fill(client, "mail", range(8))
    list(vault.lock_away("mail", QUARANTINE, Grant()))
    fill(client, "slow", range(8))
    ended = Grant()
    ended.end()
    deeds: list[Callable[[], Iterator[Any]]] = [
        lambda: vault.lock_away("slow", quarantine_name("slow"), ended),
        lambda: vault.put_back(QUARANTINE, "mail", ended),
        lambda: vault.put_back(QUARANTINE, "mail", ended, 3),
        lambda: vault.move("slow", "mail", ["slow-1"], ended),
        lambda: vault.move("slow", "mail", None, ended),
        lambda: vault.destroy(QUARANTINE, ended),
    ]
    before = lists_of(client, QUARANTINE), lists_of(client, "slow")
    for deed in deeds:
        with pytest.raises(BrokerError, match="locked"):
            list(deed())
    assert (lists_of(client, QUARANTINE), lists_of(client, "slow"), lists_of(client, "mail")) == (*before, {})


def test_who_waits_for_a_message_gets_the_oldest_that_is_put_back(
    vault: RedisVault, client: Redis, redis_server: RedisServer
) -> None:
    fill(client, "mail", range(0, 40, 4))
    before = lists_of(client, "mail")[0]
    list(vault.lock_away("mail", QUARANTINE, Grant()))
    got: list[bytes] = []

    def wait() -> None:
        with Redis.from_url(redis_server.url) as worker:
            for _ in range(3):
                told = worker.brpop(["mail"], timeout=30)
                assert told is not None
                got.append(told[1])

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: client.info("clients")["blocked_clients"] == 1, "that the worker waits")
    list(vault.put_back(QUARANTINE, "mail", Grant()))
    waiting.join()
    assert got == before[:3]


def test_prefix_steps_and_separator_are_as_the_application_sets_them(redis_server: RedisServer, client: Redis) -> None:
    options = {"global_keyprefix": "shop*:", "priority_steps": "0,5", "sep": ":"}
    client.lpush("shop*:mail", message("a"))
    client.lpush("shop*:mail:5", message("b", priority=5))
    client.lpush("mail", "another's")
    with vault_at(redis_server.url, options) as vault:
        list(vault.lock_away("mail", QUARANTINE, Grant()))
        assert sorted(client.keys()) == sorted(
            word.encode() for word in ("mail", f"shop*:{QUARANTINE}", f"shop*:{QUARANTINE}:5")
        )
        (found,) = vault.quarantines()
        assert (found.name, found.total) == (QUARANTINE, 2)
        assert sum(vault.put_back(QUARANTINE, "mail", Grant())) == 2
        assert sorted(client.keys()) == [b"mail", b"shop*:mail", b"shop*:mail:5"]


def test_a_broker_behind_sentinel_is_moved_in_its_master() -> None:
    with RedisServer() as master, SentinelServer(master) as sentinel, Redis.from_url(master.url) as client:
        fill(client, "mail", range(12))
        before = lists_of(client, "mail")
        with vault_at(f"{sentinel.url}/0", {"master_name": "shop"}) as vault:
            list(vault.lock_away("mail", QUARANTINE, Grant()))
            assert lists_of(client, QUARANTINE) == before


def test_what_the_user_may_not_do_is_said(redis_server: RedisServer, client: Redis) -> None:
    fill(client, "mail", [0])
    rights = ("on", ">pw", "~*", "+@read", "+ping", "+info", "+memory|usage")
    command(client, "ACL", "SETUSER", "looker", *rights)
    with vault_at(f"redis://looker:pw@{HOST}:{redis_server.port}/0") as vault:
        assert vault.contents("mail").total == 1
        with pytest.raises(BrokerError, match="does not permit it") as refused:
            list(vault.lock_away("mail", QUARANTINE, Grant()))
    assert refused.value.fault == "permission"
    assert ids_of(client, "mail") == ["mail-0"]


def test_the_rights_that_are_published_are_enough(redis_server: RedisServer, client: Redis) -> None:
    text = (Path(__file__).parents[2] / "docs" / "acting.md").read_text("utf-8")
    words = text.partition("ACL SETUSER operator on >password")[2].partition("```")[0].split()
    command(client, "ACL", "SETUSER", "operator", "on", ">password", *words)
    fill(client, "mail", range(100))
    url = f"redis://operator:password@{HOST}:{redis_server.port}/0"
    with vault_at(url) as vault, pytest.MonkeyPatch.context() as patch:
        assert vault.contents("mail").oldest is not None
        list(vault.lock_away("mail", QUARANTINE, Grant()))
        assert [each.name for each in vault.quarantines()] == [QUARANTINE]
        fill(client, "mail", range(1_000, 1_008))
        assert sum(vault.put_back(QUARANTINE, "mail", Grant(), 10)) == 10
        patch.setattr(redis_vault, "MOST", 1)
        assert sum(vault.put_back(QUARANTINE, "mail", Grant())) == 90
        patch.setattr(redis_vault, "DEEPEST", 5)
        assert items(vault.move("mail", "slow", ["mail-40"], Grant())) == {"mail-40": True}
        assert len([*vault.move("slow", "mail", None, Grant())]) == 1
        list(vault.lock_away("mail", QUARANTINE, Grant()))
        assert sum(len(piece) for piece in vault.raw(QUARANTINE)) == 108
        assert list(vault.destroy(QUARANTINE, Grant())) == [108]


def test_a_broker_without_memory_loses_nothing(redis_server: RedisServer, client: Redis) -> None:
    fill(client, "mail", range(40))
    before = lists_of(client, "mail")
    with vault_at(redis_server.url) as vault:
        client.config_set("maxmemory", 1)
        list(vault.lock_away("mail", QUARANTINE, Grant()))  # that takes no memory
        for deed in (
            vault.put_back(QUARANTINE, "mail", Grant(), 5),
            vault.move(QUARANTINE, "slow", ["mail-0"], Grant()),
            vault.move(QUARANTINE, "slow", None, Grant()),
        ):
            with pytest.raises(BrokerError, match="out of memory"):
                list(deed)
        assert lists_of(client, QUARANTINE) == before
        assert sum(vault.put_back(QUARANTINE, "mail", Grant())) == 40
        client.config_set("maxmemory", 0)
    assert lists_of(client, "mail") == before


def test_a_link_that_breaks_is_said_and_nothing_is_lost(redis_server: RedisServer, client: Redis) -> None:
    fill(client, "mail", range(400))
    before = lists_of(client, "mail")
    with FaultProxy(redis_server.port) as proxy, vault_at(f"redis://{HOST}:{proxy.port}/0") as vault:
        list(vault.lock_away("mail", QUARANTINE, Grant()))
        back = vault.put_back(QUARANTINE, "mail", Grant())
        next(back)
        proxy.refuse()
        proxy.cut()
        with pytest.raises(BrokerError):
            list(back)
        proxy.admit()
        list(vault.put_back(QUARANTINE, "mail", Grant()))
    assert lists_of(client, "mail") == before


def test_only_redis_moves_messages_in_redis() -> None:
    with pytest.raises(BrokerError, match="kombu's transport"):
        broker_at("filesystem://").vault("operate", on_command=lambda _: None)


@pytest.mark.parametrize("raw", [b"", b"x", b"[]", b'{"properties":1}', b'{"properties":{}}', b"\xff", b"[" * 100_000])
def test_what_is_no_message_is_not_addressed_anew(raw: bytes) -> None:
    assert readdressed(raw, "slow") == raw
