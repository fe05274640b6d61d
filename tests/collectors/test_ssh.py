"""Brokers behind a jump host, reached through the system's ssh: what is read, what goes through, and what is said."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import amqp
import msgspec
import psutil
import pytest
from click.testing import CliRunner
from redis import Redis

from app.cli import cli
from app.collectors.amqp import amqp_address
from app.collectors.amqp_queues import AmqpQueues
from app.collectors.brokers import broker_at
from app.collectors.doctor import examine
from app.collectors.errors import BrokerError
from app.collectors.line import CONNECT_TIMEOUT
from app.collectors.redis_queues import RedisQueues
from app.collectors.ssh import JumpHost, jump_host_of
from app.collectors.ssh_errors import ssh_error
from app.collectors.transport import redis_address
from app.models.options import options_for
from app.models.wire import Configure, Examine, Health
from tests.helpers import rabbits
from tests.helpers.celery_apps import make_app, worker
from tests.helpers.collecting import child, hear
from tests.helpers.events import envelope, raw
from tests.helpers.hearing import listening, subscribed
from tests.helpers.histories import reading
from tests.helpers.hostile import good
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import HOST, RabbitServer, RedisServer, SentinelServer
from tests.helpers.sshd import ALIAS, SshServer, is_alive, tunnels
from tests.helpers.tls import TlsFront, certificate
from tests.helpers.waiting import eventually

CHANNEL = "/0.celeryev/task.multi"
SECRET = "canary-password"


@pytest.fixture
def bastion() -> Iterator[SshServer]:
    """A jump host of the test's own."""
    with SshServer() as server:
        yield server


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "by_hand"),
    [
        ("bastion", "ssh bastion"),
        ("ops@bastion.example", "ssh ops@bastion.example"),
        ("ops@bastion.example:2222", "ssh -p 2222 ops@bastion.example"),
        ("a.b+c@corp@10.0.0.1", "ssh a.b+c@corp@10.0.0.1"),
        ("[fe80::1%eth0]:22", "ssh -p 22 fe80::1%eth0"),
        ("jump_host-2", "ssh jump_host-2"),
    ],
)
def test_a_jump_host_is_read(written: str, by_hand: str) -> None:
    made = jump_host_of({"ssh": written})
    assert made is not None
    assert (made.shown, made.by_hand) == (written, by_hand)
    assert redis_address("redis://h/2", None, {"ssh": written}).shown == f"h:6379/2 through {written}"
    assert amqp_address("amqp://h/a", None, {"ssh": written}).shown == f"h:5672/a through {written}"


@pytest.mark.parametrize(
    "written",
    [
        "-oProxyCommand=true", "-W", "ops@-oProxyCommand=true", "-l@bastion", "bastion -v", "bastion\n", "bastion\t",
        " ", "bastion;true", "$(true)", "`true`", "a|b", "a&b", "a'b", 'a"b', "a\\b", "a\x00b", "a\u202eb", "h:port",
        "h:", "h:123456", "@h", "a@", "[::1", "ssh://h", "%h", "~root", "b\u00fccher",
    ],
)  # fmt: skip
@pytest.mark.parametrize("url", ["redis://h", "sentinel://h?master_name=m", "amqp://h"])
def test_what_ssh_or_a_shell_could_take_for_something_else_is_refused(written: str, url: str) -> None:
    with pytest.raises(BrokerError, match="ssh is a jump host like user@bastion") as refusal:
        broker_at(url, None, {"ssh": written})
    assert refusal.value.fault == "address"
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("url", "options", "sentence"),
    [
        ("redis://h", {"ssh_config": "x"}, "of no use without the jump host"),
        ("amqp://h", {"ssh": "bastion", "ssh_config": "/no/such/file"}, "no file '/no/such/file' (ssh_config)"),
        ("redis://h?ssh=bastion", {}, "A jump host is no part of an address"),
        ("amqp://h?ssh_config=x", {"ssh": "bastion"}, "A jump host is no part of an address"),
        ("redis+socket:///run/redis.sock", {"ssh": "bastion"}, "give host and port"),
        ("filesystem://", {"ssh": "bastion"}, "filesystem:// brokers are not reached through a jump host"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(url: str, options: dict[str, str], sentence: str) -> None:
    with pytest.raises(BrokerError) as refusal:
        broker_at(url, None, options)
    assert sentence in str(refusal.value)
    assert refusal.value.fault == "address"


def test_without_a_jump_host_there_is_none() -> None:
    assert redis_address("redis://h", None, {"ssh": ""}).line.jump_host is None


def test_no_applications_settings_lead_through_a_jump_host() -> None:
    known = {*options_for("redis://h"), *options_for("amqp://h")}
    assert "ssl_ca_certs" in known
    assert known.isdisjoint({"ssh", "ssh_config"})


def test_on_windows_it_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(BrokerError, match=r"Windows .* ssh -N -L 6379:broker:6379 bastion"):
        jump_host_of({"ssh": "bastion"})


@pytest.mark.parametrize("host", ["a b", "a]:1", "a\nb", "a/b", "", "x" * 300, "a;b"])
def test_what_is_no_host_is_not_asked_for_wherever_it_comes_from(host: str) -> None:
    with pytest.raises(OSError, match="it is not a host name"):
        JumpHost("bastion").connect(host, 6379)


def test_a_machine_without_ssh_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (found,) = examine(Examine("redis://h", options={"ssh": "bastion"}))
    assert (found.name, found.ok) == ("SSH tunnel", False)
    assert "install OpenSSH's client" in found.text


# --- what goes through -----------------------------------------------------------------------------------------------


@contextmanager
def recording(config: Configure) -> Iterator[psutil.Process]:
    """A collector's process that is subscribed."""
    with child(config) as process:
        heard = threading.Event()

        def listen() -> None:
            for said in hear(process):
                if isinstance(said, Health) and said.state == "live":
                    heard.set()

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            eventually(heard.is_set, "the subscription", within=60)
            yield psutil.Process(process.pid)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(20) == 0
        finally:
            process.kill()
            listener.join()


def directly(process: psutil.Process) -> list[object]:
    """Connections of a process that go over a network, and not through ssh."""
    return list(process.net_connections(kind="inet"))


def test_tasks_queues_workers_and_results_are_seen_through_a_jump_host_and_nothing_goes_beside_it(
    bastion: SshServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    app = make_app(redis_server.url)
    options = {**bastion.options, "result_backend": redis_server.url.removesuffix("0") + "1"}
    config = Configure("shop", redis_server.url, str(tmp_path / "h"), options=options)
    with (
        recording(config) as process,
        worker(redis_server.url, "w1", tmp_path / "w1.log", "-E", slots=2) as running,
        reading(tmp_path / "h") as reader,
    ):
        eventually(lambda: app.control.ping(timeout=2, limit=1), "the worker", within=60)
        sent = app.send_task("truth.add", (2, 3)).id
        app.send_task("truth.add", (2, 3), queue="mail")

        def ended() -> bool:
            task = reader.task(sent)
            return task is not None and task.state == "SUCCESS"

        eventually(ended, "the task's end")
        eventually(lambda: {q.name: q.ready for q in reader.queues()} == {"celery": 0, "mail": 1}, "the depths")
        workers = {running.hostname: ("prefork", 2)}
        eventually(lambda: {w.hostname: (w.pool, w.slots) for w in reader.workers()} == workers, "answers", within=60)
        assert directly(process) == []
        assert 3 <= len(tunnels(process)) <= 4
        left = tunnels(process)
    eventually(lambda: not any(map(is_alive, left)), "their end")
    app.close()


def test_the_result_backend_is_asked_through_the_same_jump_host(
    bastion: SshServer, redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    backend = f"redis://{HOST}:{redis_server.port}/1"
    config = Configure("shop", redis_server.url, str(tmp_path / "h"), mode="passive")
    with recording(config), reading(tmp_path / "h") as reader:
        client.publish(CHANNEL, envelope(raw("task-started", uuid="t1", hostname="w@a", timestamp=time.time())))
        eventually(lambda: reader.task("t1"), "the task")
    with Redis.from_url(backend) as results:
        results.set("celery-task-meta-t1", '{"status": "SUCCESS", "result": 5}')
    options = {**bastion.options, "result_backend": backend}
    config = msgspec.structs.replace(config, options=options)
    with recording(config) as process, reading(tmp_path / "h") as reader:
        eventually(lambda: (task := reader.task("t1")) and task.state == "SUCCESS", "its end", within=60)
        assert directly(process) == []
        assert len(tunnels(process)) == 3


def test_rabbitmq_and_its_management_api_are_reached_through_a_jump_host(
    bastion: SshServer, rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path
) -> None:
    app = make_app(rabbitmq_url)
    options = {**bastion.options, "management_url": f"http://{HOST}:{rabbitmq_server.management_port}"}
    config = Configure("shop", rabbitmq_url, str(tmp_path / "h"), options=options)
    with (
        recording(config) as process,
        worker(rabbitmq_url, "w1", tmp_path / "w1.log", "-E") as running,
        reading(tmp_path / "h") as reader,
        rabbits.client(rabbitmq_url) as channel,
    ):
        eventually(lambda: app.control.ping(timeout=2, limit=1), "the worker", within=60)
        sent = app.send_task("truth.add", (2, 3)).id
        eventually(lambda: (task := reader.task(sent)) and task.state == "SUCCESS", "the task's end")
        # Nobody tells of this queue but the management API.
        channel.queue_declare("nobody consumes me", auto_delete=False)
        channel.basic_publish(amqp.Message("x"), exchange="", routing_key="nobody consumes me")
        eventually(
            lambda: ("nobody consumes me", 1) in [(q.name, q.ready) for q in reader.queues()], "its depth", within=60
        )
        eventually(
            lambda: [w.pool for w in reader.workers() if w.hostname == running.hostname] == ["prefork"], within=60
        )
        assert directly(process) == []
        # However often the management API is asked: events, queues, workers, and that.
        assert bastion.sign_ins == len(tunnels(process)) == 4
    app.close()


def test_f02_the_master_is_found_and_again_after_a_failover_through_a_jump_host(
    bastion: SshServer, tmp_path: Path
) -> None:
    with (
        RedisServer() as old,
        RedisServer("--replicaof", HOST, str(old.port)) as new,
        SentinelServer(old) as sentinel,
        Redis.from_url(new.url) as successor,
        Redis(HOST, sentinel.port) as watcher,
    ):
        eventually(lambda: successor.info("replication")["master_link_status"] == "up", "the replication")
        eventually(lambda: watcher.sentinel_master("shop")["num-slaves"] == 1, "that the sentinel knows both")
        url = f"sentinel://{HOST}:1;{sentinel.url}"  # one that is gone comes first
        options = {**bastion.options, "master_name": "shop"}
        config = Configure("shop", url, str(tmp_path / "h"), options=options, queues=["mail"])
        with recording(config) as process, reading(tmp_path / "h") as reader:
            with Redis.from_url(old.url) as master:
                eventually(lambda: master.publish(CHANNEL, good(1)) and reader.task("good-1"), "an event")
            old.kill()
            eventually(lambda: successor.info("replication")["role"] == "master", "the failover", within=60)
            eventually(lambda: successor.publish(CHANNEL, good(2)) and reader.task("good-2"), "an event", within=60)
            successor.lpush("mail", "x")
            eventually(lambda: [q.ready for q in reader.queues() if q.name == "mail"] == [1], "a depth", within=60)
            assert directly(process) == []


def test_a_jump_host_behind_another_is_reached_as_the_users_settings_say(
    redis_server: RedisServer, client: Redis
) -> None:
    with SshServer() as outer, SshServer() as inner:
        inner.settle(inner.host(ALIAS, "ProxyJump outer"), outer.host("outer"))
        with subscribed(redis_server.url, inner.options) as heard:
            assert len(tunnels()) == 2
            client.publish(CHANNEL, "x")
            eventually(lambda: heard.take().payloads == [b"x"], "an event")
        eventually(lambda: not tunnels(), "the end of both")
        assert (outer.sign_ins, inner.sign_ins) == (1, 1)
        outer.forget()
        with listening(redis_server.url, inner.options) as heard:
            eventually(heard.faults, "the refusal")
            assert heard.faults() == ["tunnel"]
            assert "The host key of a host on the way to bastion is not known." in str(heard.lost().error)
        assert inner.sign_ins == 1


def test_the_users_agent_signs_in(bastion: SshServer, redis_server: RedisServer, tmp_path: Path) -> None:
    place = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.DEVNULL)
    try:
        eventually(place.exists, "the agent")
        environment = {**os.environ, "SSH_AUTH_SOCK": str(place)}
        subprocess.run(["ssh-add", "-q", str(bastion.user_key())], env=environment, check=True, capture_output=True)
        bastion.settle(bastion.host(ALIAS, f"IdentityAgent {place}", "IdentityFile none", "IdentitiesOnly no"))
        with subscribed(redis_server.url, bastion.options):
            assert bastion.sign_ins == 1
    finally:
        agent.terminate()
        agent.wait()


def test_a_connection_that_the_user_keeps_open_is_used_where_nobody_could_sign_in(
    bastion: SshServer, redis_server: RedisServer, client: Redis
) -> None:
    place = bastion.folder / "master"
    bastion.settle(bastion.host(ALIAS, f"ControlPath {place}"))
    master = subprocess.Popen(["ssh", "-F", str(bastion.config), "-M", "-N", ALIAS], stdin=subprocess.DEVNULL)
    try:
        eventually(place.exists, "the connection")
        (bastion.folder / "authorized_keys").write_text("", encoding="ascii")
        with subscribed(redis_server.url, bastion.options) as heard:
            client.publish(CHANNEL, "x")
            eventually(lambda: heard.take().payloads == [b"x"], "an event")
        assert (bastion.sign_ins, master.poll()) == (1, None)
        with pytest.raises(BrokerError, match=f"bastion does not reach {HOST}:1: Session open refused by peer"):
            RedisQueues(redis_address(f"redis://{HOST}:1", None, bastion.options), on_command=lambda _: None).poll()
    finally:
        master.terminate()
        master.wait()


def test_what_the_users_settings_do_besides_does_not_come_into_the_tunnel_nor_stay_behind(
    bastion: SshServer, redis_server: RedisServer, client: Redis
) -> None:
    place = bastion.folder / "master"
    talks = ("PermitLocalCommand yes", "LocalCommand echo garbage")
    stays = ("ControlMaster auto", f"ControlPath {place}", "ControlPersist yes")
    bastion.settle(bastion.host(ALIAS, "LogLevel QUIET", *talks, *stays))
    with subscribed(redis_server.url, bastion.options) as heard:
        client.publish(CHANNEL, "x")
        eventually(lambda: heard.take().payloads == [b"x"], "an event")
        assert not place.exists()
    assert tunnels() == []


def test_nobody_is_asked_anything_not_even_on_the_way(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    program = tmp_path / "askpass"
    program.write_text(f"#!/bin/sh\ntouch {asked}\necho yes\n", encoding="ascii")
    program.chmod(0o755)
    for name, value in (("SSH_ASKPASS", str(program)), ("SSH_ASKPASS_REQUIRE", "force"), ("DISPLAY", ":9")):
        monkeypatch.setenv(name, value)
    with SshServer() as outer, SshServer() as inner:
        inner.settle(inner.host(ALIAS, "ProxyJump outer"), outer.host("outer"))
        outer.forget()
        with pytest.raises(BrokerError, match="on the way to bastion is not known"):
            broker_at(redis_server.url, None, inner.options).greet()
        assert not asked.exists()
        assert (outer.folder / "known_hosts").read_text(encoding="ascii") == ""


def test_a_jump_host_that_is_far_away_leaves_time_for_what_lies_behind_it(bastion: SshServer) -> None:
    with (
        RedisServer() as server,
        SentinelServer(server) as sentinel,
        FaultProxy(bastion.port) as far,
    ):
        far.delay(0.3)
        lines = [f"  Port {far.port}" if "Port" in line else line for line in bastion.host().splitlines()]
        bastion.settle("\n".join(["Host bastion", f"  HostKeyAlias [{HOST}]:{bastion.port}", *lines[1:], ""]))
        options = {**bastion.options, "master_name": "shop"}
        began = time.monotonic()
        with redis_address(sentinel.url, None, options).connect() as connection:
            connection.sendall(b"PING\r\n")
            assert connection.recv(100) == b"+PONG\r\n"
        # Or it was not far.
        assert time.monotonic() - began > CONNECT_TIMEOUT


# --- TLS inside ------------------------------------------------------------------------------------------------------


def test_tls_inside_the_tunnel_proves_the_brokers_own_name(bastion: SshServer, tmp_path: Path) -> None:
    pem = certificate(tmp_path, "localhost")
    with (
        RedisServer("--requirepass", SECRET) as server,
        TlsFront(pem, server.port) as front,
        Redis(HOST, server.port, password=SECRET) as client,
    ):
        options = {**bastion.options, "ssl_ca_certs": str(pem)}
        with subscribed(f"rediss://:{SECRET}@localhost:{front.port}/0", options) as heard:
            sent = [f"{number:06d}" + "x" * 30_000 for number in range(100)]
            for payload in sent:
                client.publish(CHANNEL, payload)
            eventually(lambda: len(heard.take().payloads) == len(sent), "all messages")
            assert heard.payloads == [payload.encode() for payload in sent]
            bastion.cut()
            eventually(lambda: heard.linked(2), "the next subscription")
            # Where TLS breaks off without a word, that is no end in order.
            assert heard.lost().error is not None
            assert "The SSH tunnel through bastion broke off" in str(heard.lost().error)
        eventually(lambda: not tunnels(), "the end of ssh")


@pytest.mark.parametrize("kind", ["rediss", "amqps"])
@pytest.mark.parametrize(
    ("name", "trust", "sentence"),
    [
        ("other.example", "its certificate", "IP address mismatch"),
        (HOST, "nothing", "self-signed certificate"),
        (HOST, "another pin", "not the one that was pinned"),
    ],
)
def test_whoever_answers_beyond_the_tunnel_and_proves_nothing_gets_no_byte_of_a_password(
    bastion: SshServer, redis_server: RedisServer, tmp_path: Path, kind: str, name: str, trust: str, sentence: str
) -> None:
    pem = certificate(tmp_path, name)
    given = {
        "its certificate": {"ssl_ca_certs": str(pem)},
        "nothing": {},
        "another pin": {"ssl_fingerprint": "0" * 64, "ssl_cert_reqs": "none"},
    }[trust]
    with TlsFront(pem, redis_server.port) as front:
        broker = broker_at(f"{kind}://user:{SECRET}@{HOST}:{front.port}/", None, {**bastion.options, **given})
        with pytest.raises(BrokerError, match=sentence) as refusal:
            broker.greet()
    assert "No password was sent." in str(refusal.value)
    assert front.heard == b""
    assert tunnels() == []


def test_rabbitmq_over_tls_inside_a_tunnel(
    bastion: SshServer, rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path
) -> None:
    pem = certificate(tmp_path, HOST)
    with TlsFront(pem, rabbitmq_server.port) as front, rabbits.client(rabbitmq_url) as channel:
        channel.queue_declare("mail")
        url = (
            f"amqps://guest:guest@{HOST}:{front.port}/{rabbitmq_url.rpartition('/')[2]}?ssl_ca_certs={quote(str(pem))}"
        )
        queues = AmqpQueues(amqp_address(url, None, bastion.options), ["mail"], on_command=lambda _: None)
        assert [(queue.name, queue.ready) for queue in queues.poll().queues] == [("mail", 0)]
        assert len(tunnels()) == 1
        queues.close()
        assert tunnels() == []
        assert b"guest" in front.heard


# --- what is said ----------------------------------------------------------------------------------------------------


def found(url: str, options: dict[str, str]) -> dict[str, tuple[bool | None, str]]:
    return {each.name: (each.ok, each.text) for each in examine(Examine(url, options=options), listen=0.1)}


def test_the_doctor_names_the_tunnel_before_the_connection(bastion: SshServer, redis_server: RedisServer) -> None:
    findings = found(redis_server.url, bastion.options)
    assert list(findings)[:3] == ["SSH tunnel", "connect", "sign in"]
    assert findings["SSH tunnel"] == (True, "signed in at bastion.")
    assert findings["connect"][1].startswith(f"{HOST}:{redis_server.port}/0 through bastion answers, Redis ")
    assert found(f"redis://{HOST}:1/0", bastion.options) == {
        "SSH tunnel": (True, "signed in at bastion."),
        "connect": (
            False,
            f"The jump host bastion does not reach {HOST}:1: Connection refused. Is it running, and so named there?",
        ),
    }
    bastion.forget()
    refused = found(redis_server.url, bastion.options)
    assert list(refused) == ["SSH tunnel"]
    assert refused["SSH tunnel"][0] is False
    assert f"Connect once in a terminal (ssh -F {bastion.config} bastion)" in refused["SSH tunnel"][1]


def test_the_command_line_and_profiles_take_a_jump_host(
    bastion: SshServer, redis_server: RedisServer, client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    client.lpush("mail", "x")
    words = [word for key, value in bastion.options.items() for word in ("--option", f"{key}={value}")]
    done = CliRunner().invoke(cli, ["queues", redis_server.url, "--queue", "mail", "--mode", "passive", *words])
    assert done.exit_code == 0, done.output
    assert bastion.sign_ins == 1
    assert "mail" in done.stdout
    assert CliRunner().invoke(cli, ["profiles", "add", "shop", redis_server.url, *words]).exit_code == 0
    done = CliRunner().invoke(cli, ["queues", "shop", "--queue", "mail", "--mode", "passive"])
    assert done.exit_code == 0, done.output
    assert bastion.sign_ins == 2


@pytest.mark.parametrize("address", ["redis://{}", "amqp://{}/"])
@pytest.mark.parametrize(
    ("settings", "fault", "sentence"),
    [
        (("Port 1",), "network", "No connection to the jump host 127.0.0.1:1: Connection refused."),
        (("HostName nobody.invalid",), "name", "The jump host's name nobody.invalid can't be looked up"),
        (("IdentityFile none",), "tunnel", "was refused (publickey). Load your key into the SSH agent"),
        (("Nonsense yes",), "tunnel", "The settings of ssh are not accepted: "),
        (("HostKeyAlgorithms ssh-rsa",), "tunnel", "There is no way to speak with bastion that both sides know"),
        (("ProxyCommand printf '\\033[31mgo\\342\\200\\256away' >&2; exit 1",), "network", "to the jump host bastion"),
    ],
)
def test_why_there_is_no_tunnel_is_said(
    bastion: SshServer, address: str, settings: tuple[str, ...], fault: str, sentence: str
) -> None:
    lines = [
        line for line in bastion.host().splitlines() if line.split()[0] not in {each.split()[0] for each in settings}
    ]
    bastion.settle("\n".join((lines[0], *settings, *lines[1:])) + "\n")
    with pytest.raises(BrokerError) as refusal:
        broker_at(address.format(HOST), None, bastion.options).greet()
    assert sentence in str(refusal.value)
    assert refusal.value.fault == fault
    assert str(refusal.value).isprintable()
    assert tunnels() == []


@pytest.mark.parametrize(
    ("setting", "fault", "sentence"),
    [
        ("AllowTcpForwarding no", "tunnel", "bastion does not permit a tunnel to 127.0.0.1:{}"),
        ("PermitOpen 127.0.0.1:1", "tunnel", "bastion does not permit a tunnel to 127.0.0.1:{}"),
    ],
)
@pytest.mark.parametrize("address", ["redis://{}", "amqp://{}/"])
def test_a_jump_host_that_permits_no_tunnel_is_named(setting: str, fault: str, sentence: str, address: str) -> None:
    with SshServer(setting) as strict, RedisServer() as server:
        with pytest.raises(BrokerError) as refusal:
            broker_at(address.format(f"{HOST}:{server.port}"), None, strict.options).greet()
        assert sentence.format(server.port) in str(refusal.value)
        assert refusal.value.fault == fault


#: What OpenSSH 9.2 wrote, of which not all can be had from a server at will.
WORDS = [
    ("Host key for [h]:22 has changed and you have requested strict checking.|Host key verification failed.", "tunnel"),
    ("WARNING: REVOKED HOST KEY DETECTED!|Host key verification failed.", "tunnel"),
    (
        "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures|Disconnected from 10.0.0.1",
        "tunnel",
    ),
    ("Bad owner or permissions on /home/x/.ssh/config", "tunnel"),
    ("kex_exchange_identification: Connection closed by remote host|Connection closed by 10.0.0.1 port 22", "network"),
    ("Connection timed out during banner exchange", "network"),
    ("", "network"),
]


@pytest.mark.parametrize(("said", "fault"), WORDS)
def test_the_words_of_ssh_become_a_sentence(said: str, fault: str) -> None:
    error = ssh_error(said.split("|") if said else [], "bastion", "ssh bastion", "h:6379", signed_in=False)
    assert error.fault == fault
    assert str(error)[0] in "TN"
    assert "{" not in str(error)


def test_what_broke_off_later_is_told_as_that() -> None:
    said = ["Timeout, server 10.0.0.1 not responding.", "Transferred: sent 1, received 1 bytes, in 1 seconds"]
    error = ssh_error(said, "bastion", "ssh bastion", "h:6379", signed_in=True)
    assert str(error) == "The SSH tunnel through bastion broke off: Timeout, server 10.0.0.1 not responding."
