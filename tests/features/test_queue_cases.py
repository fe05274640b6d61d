"""The queue cases that a Celery monitor must get right, Q1–Q18 and what Flower fails: `cloche queues` on real brokers.

What the program says of a broker is read as a script reads it: ``--json``. Where another program's inside is the case
(how many pipelines, which client library), the promise is tested that it keeps to its user.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import amqp
import pytest
from click.testing import CliRunner, Result
from redis import Redis

from app.cli import cli
from app.collectors.amqp import amqp_address
from app.collectors.errors import BrokerError
from app.collectors.management import management_at
from app.collectors.transport import redis_address
from tests.collectors.conftest import command
from tests.helpers import rabbits
from tests.helpers.celery_apps import make_app, worker
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import HOST, RabbitServer, RedisServer, SentinelServer
from tests.helpers.tls import TlsFront, certificate
from tests.helpers.waiting import eventually

SEP: Final = "\x06\x16"
SECRET: Final = "canary-password"
Listed = dict[str, dict[str, Any]]


def cloche(url: str, *words: str) -> Result:
    return CliRunner().invoke(cli, ["queues", url, "--json", *words])


def listed(url: str, *words: str) -> Listed:
    """Queues by name; nothing may be wrong with any of them.

    Of a RabbitMQ whose management API is not asked, it is said that this may not be all.
    """
    done = cloche(url, *words)
    partly = url.startswith("amqp") and not any("management_url" in word for word in words)
    said = "Only queues that are named, or consumed by workers, are seen." if partly else ""
    assert (done.exit_code, done.stderr[: len(said) or None]) == (0, said), done.output
    return {queue["name"]: queue for queue in json.loads(done.stdout)}


def ready(url: str, *words: str) -> dict[str, int | None]:
    return {name: queue["ready"] for name, queue in listed(url, *words).items()}


def refused(url: str, *words: str) -> str:
    """The sentence with which an address is refused, or a broker that can't be asked; never with the password."""
    done = cloche(url, *words)
    assert (done.exit_code, done.stdout) == (1, ""), done.output
    assert SECRET not in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def option(**options: object) -> list[str]:
    return [word for key, value in options.items() for word in ("--option", f"{key}={value}")]


def put(client: Redis, key: str, messages: int) -> None:
    for number in range(messages):
        client.lpush(key, json.dumps({"headers": {"id": f"{key}-{number}"}}))


# --- keys ------------------------------------------------------------------------------------------------------------


def test_q1_the_lists_of_all_priorities_are_counted_in_order_and_at_once(
    redis_server: RedisServer, client: Redis
) -> None:
    keys = [f"{name}{step}" for name in ("celery", "priority") for step in ("", f"{SEP}3", f"{SEP}6", f"{SEP}9")]
    for messages, key in enumerate(keys, start=1):
        put(client, key, messages)
    with client.monitor() as monitor:  # type: ignore[no-untyped-call]
        found = listed(redis_server.url, "--queue", "celery", "--queue", "priority", "--mode", "passive")
        client.echo("end")
        asked: list[dict[str, str]] = []
        while not (told := monitor.next_command())["command"].startswith("ECHO"):
            asked.append(told)
    assert {name: queue["ready"] for name, queue in found.items()} == {"celery": 10, "priority": 26}
    assert found["priority"]["by_priority"] == {"0": 5, "3": 6, "6": 7, "9": 8}
    lengths = [at for at, told in enumerate(asked) if told["command"].startswith("LLEN")]
    assert [asked[at]["command"] for at in lengths] == [f"LLEN {key}".replace(SEP, r"\x06\x16") for key in keys], (
        "each list once, in order"
    )
    assert lengths == list(range(lengths[0], lengths[0] + 8)), "one pipeline: nothing else is asked in between"
    assert len({asked[at]["client_port"] for at in lengths}) == 1
    eventually(lambda: not [each for each in client.client_list() if each["name"].startswith("cloche")], "its end")


def test_q2_the_steps_of_priority_are_used_as_they_are_given(redis_server: RedisServer, client: Redis) -> None:
    for step in range(10):
        put(client, f"mail{SEP}{step}" if step else "mail", step + 1)
    for written in ("0,1,2,3,4,5,6,7,8,9", str(list(range(10)))):
        found = listed(redis_server.url, "--queue", "mail", *option(priority_steps=written))["mail"]
        assert found["by_priority"] == {str(step): step + 1 for step in range(10)}
        assert found["ready"] == 55


def test_q3_the_separator_of_priorities_may_be_another(redis_server: RedisServer, client: Redis) -> None:
    put(client, "mail.3", 2)
    put(client, f"mail{SEP}3", 5)
    found = listed(redis_server.url, "--queue", "mail", *option(sep="."))["mail"]
    assert found["by_priority"] == {"0": 0, "3": 2, "6": 0, "9": 0}


def test_q4_a_global_prefix_is_before_every_key_and_in_no_name(redis_server: RedisServer, client: Redis) -> None:
    put(client, "foo-bar", 1)
    put(client, f"foo-bar{SEP}9", 2)
    put(client, "bar", 7)
    client.sadd("foo-_kombu.binding.bar", f"bar{SEP}{SEP}bar")
    assert ready(redis_server.url, *option(global_keyprefix="foo-")) == {"bar": 3}


# --- addresses of Redis ----------------------------------------------------------------------------------------------


def test_q5_an_address_of_nothing_but_its_scheme_is_redis_on_this_machine() -> None:
    address = redis_address("redis://")
    assert (address.host, address.port, address.database) == ("localhost", 6379, 0)
    assert (address.username, address.password) == (None, None)


def test_q6_user_password_port_and_database_are_those_of_the_address() -> None:
    with RedisServer("--requirepass", "other") as server, Redis(port=server.port, password="other") as client:
        command(client, "ACL", "SETUSER", "user", "on", f">{SECRET}", "~*", "&*", "+@all")
        with Redis(port=server.port, password="other", db=5) as fifth:
            put(fifth, "mail", 3)
        url = f"redis://user:{SECRET}@{HOST}:{server.port}/5"
        assert ready(url, "--queue", "mail") == {"mail": 3}
        # Without a user it is the default user's password.
        assert ready(f"redis://:other@{HOST}:{server.port}/5", "--queue", "mail") == {"mail": 3}
        assert "refused the sign-in" in refused(f"redis://:{SECRET}@{HOST}:{server.port}/5")
    assert redis_address("redis://:pass@host").username is None


def test_q7_an_ipv6_address_may_be_in_brackets_or_quoted() -> None:
    assert redis_address("redis://[::1]").host == "::1"
    assert redis_address("redis://2001%3Adb8%3A%3A1:6379/3").shown == "2001:db8::1:6379/3"
    with RedisServer("--bind", HOST, "::1") as server, Redis(port=server.port, db=3) as third:
        put(third, "mail", 2)
        for host in ("[::1]", quote("::1", safe="")):
            assert ready(f"redis://{host}:{server.port}/3", "--queue", "mail") == {"mail": 2}


@pytest.mark.parametrize("scheme", ["redis", "rediss", "sentinel"])
def test_q8_a_database_that_is_no_number_is_named(scheme: str) -> None:
    said = refused(f"{scheme}://:{SECRET}@localhost:6379/notanint", *option(master_name="shop"))
    assert "The database in a Redis address is a number, not 'notanint'." in said


# --- options ---------------------------------------------------------------------------------------------------------


def test_q9_timeouts_are_those_that_are_given_and_what_concerns_workers_only_changes_nothing(
    redis_server: RedisServer, client: Redis
) -> None:
    """Flower waits 1 s for a connection and 2 s for an answer where nothing is said. We wait 5 s: our questions do not
    hold up a page, and a broker that is far away is no broken one. Neither asks a second time in silence."""
    usual = redis_address("redis://h")
    assert (usual.connect_timeout, usual.answer_timeout) == (5.0, 5.0)
    given = {"socket_connect_timeout": "3", "socket_timeout": "4", "visibility_timeout": "6"}
    address = redis_address("redis://h", None, given)
    assert (address.connect_timeout, address.answer_timeout) == (3.0, 4.0)
    assert address.line is not usual.line
    # An application's own options may be given as they are.
    put(client, "mail", 1)
    all_of_them = {**given, "max_connections": "20", "health_check_interval": "30", "retry_on_timeout": "True"}
    assert ready(redis_server.url, "--queue", "mail", *option(**all_of_them)) == {"mail": 1}
    with FaultProxy(redis_server.port) as proxy:
        proxy.freeze()
        said = refused(f"redis://{HOST}:{proxy.port}", "--mode", "passive", *option(socket_timeout="0.2"))
        assert "does not answer. Check host, port and firewall." in said
        assert proxy.accepted == 1, "it is not tried again"
    for wrong in ("soon", "0", "-1", "1e9", "nan"):
        with pytest.raises(BrokerError, match="socket_timeout is a number of seconds"):
            redis_address("redis://h", None, {"socket_timeout": wrong})


def test_q10_certificates_are_asked_for_and_shown_whichever_scheme_says_so(tmp_path: Path) -> None:
    pem, ours = certificate(tmp_path, HOST), certificate(tmp_path, "us.example")
    with (
        RedisServer() as server,
        Redis.from_url(server.url) as client,
        TlsFront(pem, server.port, clients=ours) as front,
    ):
        put(client, "mail", 2)
        every = option(ssl_ca_certs=pem, ssl_certfile=ours, ssl_keyfile=ours, ssl_cert_reqs="CERT_REQUIRED")
        for scheme in ("redis", "rediss"):
            assert ready(f"{scheme}://{HOST}:{front.port}", "--queue", "mail", *every) == {"mail": 2}
        # None of them is left out: without our certificate, or the authority of theirs, nobody is let in.
        refused(f"redis://{HOST}:{front.port}", *option(ssl_ca_certs=pem))
        refused(f"redis://{HOST}:{front.port}", *option(ssl_certfile=ours, ssl_keyfile=ours))


def test_q11_rediss_alone_trusts_whom_the_system_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower refuses ``rediss://`` without a ``broker_use_ssl``. Ours is secured as a browser is."""
    pem = certificate(tmp_path, HOST)
    with RedisServer() as server, Redis.from_url(server.url) as client, TlsFront(pem, server.port) as front:
        put(client, "mail", 2)
        url = f"rediss://:{SECRET}@{HOST}:{front.port}"
        said = refused(url, "--queue", "mail")
        assert "can't be trusted: self-signed certificate. No password was sent." in said
        assert front.heard == b""
        command(client, "CONFIG", "SET", "requirepass", SECRET)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert ready(url, "--queue", "mail") == {"mail": 2}


def test_q12_sentinel_leads_to_the_master_and_user_and_password_are_for_him() -> None:
    rights = ("--user", "app", "on", f">{SECRET}", "~*", "&*", "+@all", "--user", "default", "off")
    with RedisServer(*rights) as master, SentinelServer(master) as sentinel:
        with Redis(port=master.port, username="app", password=SECRET) as client:
            put(client, "mail", 4)
        url = f"sentinel://app:{SECRET}@{HOST}:{sentinel.port}/0"
        assert ready(url, "--queue", "mail", *option(master_name="shop")) == {"mail": 4}
        assert "give master_name=NAME" in refused(url)
        assert "refused the sign-in" in refused(url.replace(SECRET, "wrong"), *option(master_name="shop"))


def test_q13_a_socket_in_the_file_system(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    assert redis_address("redis+socket:///path/to/socket").path == "/path/to/socket"
    with RedisServer("--unixsocket", str(path)) as server, Redis.from_url(server.url) as client:
        put(client, "mail", 2)
        assert ready(f"redis+socket://{path}", "--queue", "mail") == {"mail": 2}


# --- RabbitMQ --------------------------------------------------------------------------------------------------------


@contextmanager
def filled(url: str, **messages: int) -> Iterator[None]:
    """Queues with so many messages, that go in the end."""
    with rabbits.client(url) as channel:
        for name, number in messages.items():
            channel.queue_declare(name, auto_delete=False)
            for _ in range(number):
                channel.basic_publish(amqp.Message("x"), exchange="", routing_key=name)
        yield
        for name in messages:
            channel.queue_delete(name)


def managed(server: RabbitServer, ending: str = "/api") -> list[str]:
    return option(management_url=f"http://{HOST}:{server.management_port}{ending}")


def told(url: str, *words: str, queues: set[str]) -> Listed:
    """What is listed once the management API has figures of these queues, which takes it some seconds."""

    def known() -> Listed | None:
        found = listed(url, *words)
        complete = found.keys() == queues and all(each["unacked"] is not None for each in found.values())
        return found if complete else None

    found = eventually(known, "the figures of the management API", within=60)
    assert found is not None
    return found


def test_q14_the_management_api_is_asked_as_the_user_of_the_address_about_its_virtual_host(
    rabbitmq_server: RabbitServer, rabbitmq_url: str
) -> None:
    """Flower makes up its address (port 15672 of the same host) and sends the password there. We ask only where the
    user named it: on that port there may be anybody. Without it, all that a broker tells by itself is listed."""
    url = rabbits.make_user(rabbitmq_server, rabbitmq_url, "observer", ".*", ".*", ".*")
    assert amqp_address(url).management is None
    rabbits.manage(rabbitmq_server, "PUT", "users/observer", {"password": "secret", "tags": "monitoring"})
    with filled(rabbitmq_url, mail=2):
        found = listed(url, "--queue", "mail")["mail"]
        assert (found["ready"], found["consumers"], found["unacked"]) == (2, 0, None)
        found = told(url, *managed(rabbitmq_server), queues={"mail"})["mail"]
        assert (found["ready"], found["consumers"], found["unacked"]) == (2, 0, 0)
    rabbits.manage(rabbitmq_server, "DELETE", "users/observer")


def test_q15_an_address_of_nothing_but_its_scheme_is_rabbitmq_on_this_machine() -> None:
    for url, port in (("amqp://", 5672), ("amqps://localhost", 5671)):
        address = amqp_address(url)
        assert (address.host, address.port, address.virtual_host) == ("localhost", port, "/")
        assert (address.username, address.password.reveal()) == ("guest", "guest")
        api = management_at(
            "http://localhost", address.virtual_host, address.username, address.password, None, address.line
        )
        assert (api.host, api.port, api.path) == ("localhost", 15672, "/api")


@pytest.mark.parametrize("api", [f"ftp://u:{SECRET}@h", "http://", f"http://u:{SECRET}@h", f"http://u:{SECRET}@h:port"])
def test_q16_an_address_of_the_management_api_that_is_none_is_refused_without_its_password(api: str) -> None:
    said = refused(f"amqp://u:{SECRET}@localhost", *option(management_url=api))
    assert "management API" in said


def test_q17_certificates_are_checked_for_both_brokers_and_the_management_api(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flower can be told not to check at all. We can't, unless that very certificate is pinned: a password would go to
    whoever answers."""
    pem = certificate(tmp_path, HOST)
    virtual_host = rabbitmq_url.rpartition("/")[2]
    with (
        filled(rabbitmq_url, mail=2),
        RedisServer() as server,
        Redis.from_url(server.url) as client,
        TlsFront(pem, server.port) as redis_front,
        TlsFront(pem, rabbitmq_server.port) as amqp_front,
        TlsFront(pem, rabbitmq_server.management_port) as api_front,
    ):
        put(client, "mail", 2)
        redis_url = f"rediss://{HOST}:{redis_front.port}"
        amqp_url = f"amqps://guest:guest@{HOST}:{amqp_front.port}/{virtual_host}"
        api = option(management_url=f"https://{HOST}:{api_front.port}")
        for url in (redis_url, amqp_url):
            assert "can't be trusted: self-signed certificate" in refused(url, "--queue", "mail")
            assert ready(url, "--queue", "mail", *option(ssl_ca_certs=pem)) == {"mail": 2}
            assert "anyone on the way could read the password" in refused(url, *option(ssl_cert_reqs="none"))
        # The API's certificate is checked even where the broker itself is reached without TLS.
        done = cloche(rabbitmq_url, "--queue", "mail", *api)
        assert "can't be trusted: self-signed certificate. No password was sent." in done.stderr
        assert [queue["ready"] for queue in json.loads(done.stdout)] == [2], "all else works"
        assert api_front.heard == b""
        told(amqp_url, *api, *option(ssl_ca_certs=pem), queues={"mail"})
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        told(rabbitmq_url, *api, queues={"mail"})


def test_q18_a_kind_of_broker_that_is_not_supported_is_named() -> None:
    assert "'ftp' brokers are not supported" in refused(f"ftp://u:{SECRET}@h")


# --- what Flower fails -----------------------------------------------------------------------------------------------


def test_q_own1_the_database_of_a_sentinel_address_is_used_and_any_sentinel_will_do() -> None:
    with RedisServer() as master, SentinelServer(master) as sentinel, Redis(port=master.port, db=3) as third:
        put(third, "mail", 3)
        with Redis(port=master.port) as first:
            put(first, "mail", 1)
        # Nobody listens where the first one should be.
        url = f"sentinel://{HOST}:1/3;sentinel://{HOST}:{sentinel.port}"
        assert ready(url, "--queue", "mail", *option(master_name="shop")) == {"mail": 3}
        assert ready(f"{url}?virtual_host=0", "--queue", "mail", *option(master_name="shop")) == {"mail": 1}


def test_q_own2_the_virtual_host_of_a_socket_is_its_database(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer("--unixsocket", str(path)) as server, Redis(port=server.port, db=3) as third:
        put(third, "mail", 3)
        assert ready(f"redis+socket://{path}?virtual_host=3", "--queue", "mail") == {"mail": 3}
        assert ready(f"redis+socket://{path}", "--queue", "mail", *option(virtual_host="/3")) == {"mail": 3}
        assert ready(f"redis+socket://{path}", "--queue", "mail") == {"mail": 0}


def test_q_own3_what_a_rediss_address_says_of_certificates_is_heeded(tmp_path: Path) -> None:
    pem, ours = certificate(tmp_path, HOST), certificate(tmp_path, "us.example")
    with (
        RedisServer() as server,
        Redis.from_url(server.url) as client,
        TlsFront(pem, server.port, clients=ours) as front,
    ):
        put(client, "mail", 2)
        base = f"rediss://{HOST}:{front.port}/0"
        query = f"ssl_ca_certs={quote(str(pem))}&ssl_certfile={quote(str(ours))}&ssl_cert_reqs=required"
        assert ready(f"{base}?{query}", "--queue", "mail") == {"mail": 2}
        # Not in silence, as Flower does, and not with a connection that is not checked.
        assert "Without a check of certificates (ssl_cert_reqs)" in refused(f"{base}?ssl_cert_reqs=none")
        assert "'ssl_check_hostname' is not known" in refused(f"{base}?ssl_check_hostname=false")


def test_q_own4_the_default_virtual_host_is_that_one_and_not_all_of_them(
    rabbitmq_server: RabbitServer, rabbitmq_url: str
) -> None:
    with filled(rabbitmq_server.url, celery=0), filled(rabbitmq_url, celery=3):
        for url in (rabbitmq_server.url, f"amqp://guest:guest@{HOST}:{rabbitmq_server.port}//"):
            assert told(url, *managed(rabbitmq_server), queues={"celery"})["celery"]["ready"] == 0
        assert told(rabbitmq_url, *managed(rabbitmq_server), queues={"celery"})["celery"]["ready"] == 3


def test_q_own5_a_virtual_host_may_have_a_slash_in_its_name(rabbitmq_server: RabbitServer) -> None:
    rabbitmq_server.make_virtual_host("a/b")
    try:
        with filled(rabbitmq_server.url_of("a/b"), mail=2):
            for name in ("a%2Fb", "a/b"):
                url = f"amqp://guest:guest@{HOST}:{rabbitmq_server.port}/{name}"
                assert told(url, *managed(rabbitmq_server), queues={"mail"})["mail"]["ready"] == 2
    finally:
        rabbitmq_server.remove_virtual_host("a/b")


def test_q_own6_the_address_of_the_management_api_may_end_as_it_likes(
    rabbitmq_server: RabbitServer, rabbitmq_url: str
) -> None:
    with filled(rabbitmq_url, mail=2):
        for ending in ("", "/", "/api", "/api/"):
            assert told(rabbitmq_url, *managed(rabbitmq_server, ending), queues={"mail"})["mail"]["ready"] == 2


def test_q_own7_a_queue_that_nobody_consumes_is_listed_with_all_its_priorities(redis_server: RedisServer) -> None:
    app = make_app(redis_server.url)
    for priority in (0, 3, 6, 9):
        app.send_task("truth.add", (priority, 1), queue="noworker", priority=priority)
    app.close()
    found = listed(redis_server.url)["noworker"]
    assert (found["ready"], found["by_priority"]) == (4, {"0": 1, "3": 1, "6": 1, "9": 1})


def test_q_own7_on_rabbitmq_too(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    app = make_app(rabbitmq_url)
    for number in range(4):
        app.send_task("truth.add", (number, 1), queue="noworker")
    app.close()
    found = told(rabbitmq_url, *managed(rabbitmq_server), queues={"noworker"})["noworker"]
    assert (found["ready"], found["consumers"]) == (4, 0)


def test_q_own8_what_workers_hold_is_listed_where_it_came_from(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    """Two run that are acknowledged late, and six wait for their time: none is ready, and none is gone."""
    app = make_app(redis_server.url)
    options = ("-E", "--queues", "celery,mail", "--prefetch-multiplier", "4")
    with worker(redis_server.url, "w1", tmp_path / "w1.log", *options, slots=2):
        for _ in range(2):
            app.send_task("truth.outlast_late", ("never",), queue="celery")
        for number in range(6):
            app.send_task("truth.add", (number, 1), queue="celery" if number < 2 else "mail", countdown=600)
        eventually(lambda: client.hlen("unacked") == 8, "that the worker holds all", within=60)
        found = listed(redis_server.url)
        figures = ("ready", "unacked", "scheduled", "consumers")
        assert {name: tuple(found[name][figure] for figure in figures) for name in ("celery", "mail")} == {
            "celery": (0, 4, 2, 1), "mail": (0, 4, 4, 1),
        }  # fmt: skip
        # Without asking workers nobody knows who consumes, and that is not nobody.
        passive = listed(redis_server.url, "--mode", "passive", "--queue", "other")
        assert {passive[name]["consumers"] for name in ("celery", "mail", "other")} == {None}
        assert (passive["other"]["ready"], passive["mail"]["unacked"]) == (0, 4)
    app.close()


def test_q_own8_on_rabbitmq_too(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    with filled(rabbitmq_url, mail=3), rabbits.client(rabbitmq_url) as channel:
        eventually(lambda: channel.basic_get("mail"), "a message to hold")

        def held() -> bool:
            found = told(rabbitmq_url, *managed(rabbitmq_server), queues={"mail"})["mail"]
            return (found["ready"], found["unacked"]) == (2, 1)

        eventually(held, "the figures", within=60)
