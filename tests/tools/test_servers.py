import socket

import psutil
import pytest
from kombu import Connection
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from tests.helpers.servers import HOST, RabbitServer, RedisServer, ServerFailed


def redis_client(server: RedisServer) -> Redis:
    return Redis(host=HOST, port=server.port, socket_timeout=0.5, retry=Retry(NoBackoff(), 0))


def test_redis_answers(redis_server: RedisServer) -> None:
    with redis_client(redis_server) as client:
        assert client.ping()


def test_redis_takes_further_options() -> None:
    with RedisServer("--requirepass", "secret") as server, Redis(port=server.port, password="secret") as client:
        assert client.config_get("requirepass") == {"requirepass": "secret"}


def test_redis_can_crash_come_back_and_hang(redis_server: RedisServer) -> None:
    redis_server.kill()
    with redis_client(redis_server) as client, pytest.raises(RedisConnectionError):
        client.ping()
    redis_server.start()
    with redis_client(redis_server) as client:
        assert client.ping()
        redis_server.freeze()
        with pytest.raises(RedisTimeoutError):
            client.ping()
        redis_server.thaw()


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(ServerFailed, match="no-such-option"), RedisServer("--no-such-option"):
        pass


def test_two_servers_stand_side_by_side_and_leave_nothing() -> None:
    with RedisServer() as one, RedisServer() as other:
        processes, folders = [psutil.Process(one.pid), psutil.Process(other.pid)], [one.folder, other.folder]
        assert len({one.port, other.port, *folders}) == 4
    assert not any(process.is_running() for process in processes)
    assert not any(folder.exists() for folder in folders)


def test_rabbitmq_hands_over_a_message(rabbitmq_url: str) -> None:
    with Connection(rabbitmq_url) as connection, connection.SimpleQueue("greetings") as queue:
        queue.put({"hello": "world"})
        message = queue.get(timeout=10)
        message.ack()
    assert message.payload == {"hello": "world"}


def test_rabbitmq_is_empty_for_every_test(rabbitmq_url: str, rabbitmq_server: RabbitServer) -> None:
    name = rabbitmq_url.rpartition("/")[2]
    assert name in rabbitmq_server.control("list_vhosts")
    assert "greetings" not in rabbitmq_server.control("list_queues", "--vhost", name)


def test_rabbitmq_listens_on_this_machine_only(rabbitmq_server: RabbitServer) -> None:
    listening = psutil.Process(rabbitmq_server.pid).net_connections(kind="inet")
    assert {each.laddr.ip for each in listening if each.status == psutil.CONN_LISTEN} == {HOST}


def test_rabbitmq_can_crash_and_come_back_and_leaves_nothing() -> None:
    with RabbitServer() as server:
        server.kill()
        with pytest.raises(ConnectionRefusedError), socket.create_connection((HOST, server.port), timeout=1):
            pass
        server.start()
        with Connection(server.url) as connection:
            connection.ensure_connection(max_retries=1)
        processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
