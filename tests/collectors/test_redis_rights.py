"""Whether a user of Redis may act is told by Redis, and nothing is done for it."""

from pathlib import Path

import pytest
from redis import Redis

from app.collectors.doctor import examine
from app.collectors.redis_rights import acting
from app.collectors.transport import redis_address
from app.models.wire import Examine, Found
from tests.collectors.conftest import command
from tests.helpers.servers import HOST, RedisServer

#: What watching takes, and asking.
WATCHES = "~* resetchannels -@all +ping +select +auth +hello +client|setname +acl|whoami +acl|dryrun"
ACTS = (
    "+eval +exists +renamenx +rpoplpush +lpush +rpush +lpop +rpop +ltrim +lrem +lpos +unlink +get +set +del +expire "
    "+hexists +hset +hscan"
)


def found(server: RedisServer, client: Redis, rights: str) -> Found:
    command(client, "ACL", "SETUSER", "operator", "reset", "on", ">password", *rights.split())
    return acting(redis_address(f"redis://operator:password@{HOST}:{server.port}/0"), "mail")


def test_who_may_do_anything_may_act(redis_server: RedisServer, client: Redis) -> None:
    before = command(client, "INFO", "commandstats")
    told = acting(redis_address(redis_server.url), "mail")
    assert told == Found("acting", True, "the user may do all that acts take.")
    after = command(client, "INFO", "commandstats")
    assert {name for name in after if name not in before} <= {
        "cmdstat_acl|whoami", "cmdstat_acl|dryrun", "cmdstat_client|setname", "cmdstat_client|setinfo", "cmdstat_info",
    }  # fmt: skip
    assert client.keys() == []


def test_each_command_that_is_missing_is_named(redis_server: RedisServer, client: Redis) -> None:
    assert found(redis_server, client, f"{WATCHES} {ACTS}").ok
    for missing in ACTS.split():
        others = " ".join(word for word in ACTS.split() if word != missing)
        told = found(redis_server, client, f"{WATCHES} {others}")
        assert told.ok is False
        assert told.text.endswith(f"Redis refuses {missing.removeprefix('+')}.")
        assert told.remedy.startswith(f"Grant it {missing}. Watching works.")


def test_keys_that_are_closed_are_named(redis_server: RedisServer, client: Redis) -> None:
    told = found(redis_server, client, f"{WATCHES} {ACTS} resetkeys ~other*")
    assert told.ok is False
    assert told.remedy.startswith("Grant it ~mail* and the keys of other queues. Watching works.")


def test_the_rights_to_act_that_are_published_are_all_that_is_asked_for() -> None:
    docs = Path(__file__).parents[2] / "docs"
    published = {
        word.strip("`.,")
        for text in (
            (docs / "acting.md")
            .read_text("utf-8")
            .partition("ACL SETUSER operator on >password")[2]
            .partition("```")[0],
            (docs / "acting.md").read_text("utf-8").partition("On Redis the user needs")[2].partition("besides")[0],
            (docs / "harmless.md").read_text("utf-8").partition("*operate* mode needs")[2].partition("besides")[0],
        )
        for word in text.split()
    }
    assert set(ACTS.split()) <= published


def test_who_may_not_ask_is_told_how_to(redis_server: RedisServer, client: Redis) -> None:
    told = found(redis_server, client, f"{WATCHES} -acl")
    assert (told.ok, told.text) == (None, "the user may not ask what it may do.")
    assert "+acl|whoami +acl|dryrun" in told.remedy


@pytest.mark.parametrize(("mode", "tried"), [("passive", False), ("observe", False), ("operate", True)])
def test_the_doctor_tries_it_where_acting_is_wanted(redis_server: RedisServer, mode: str, *, tried: bool) -> None:
    told = examine(Examine(redis_server.url, mode=mode), listen=0.2)  # type: ignore[arg-type]
    assert ("acting" in [finding.name for finding in told]) is tried


def test_on_rabbitmq_it_is_said_that_nobody_can_tell(rabbitmq_url: str) -> None:
    told = {finding.name: finding for finding in examine(Examine(rabbitmq_url, mode="operate"), listen=0.2)}
    assert told["acting"].ok is None
