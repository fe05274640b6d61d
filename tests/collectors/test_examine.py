"""What can be seen of a broker, told as it is found by a child process, which goes when nobody wants to know."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from app.collectors.doctor import LISTEN, Examination, examine
from app.models.wire import Deframer, Examine, Found, Message, Refused, frame
from tests.helpers.litter import staying
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

ALL = ["connect", "sign in", "subscribe", "queues", "workers", "task events", "task-sent"]


@contextmanager
def asked(question: Examine) -> Iterator[subprocess.Popen[bytes]]:
    """The child, with its first frame in its pipe."""
    command = [sys.executable, "-m", "app", "collector"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        child.stdin.write(frame(question))
        child.stdin.flush()
        yield child


def heard(child: subprocess.Popen[bytes], until: str = "") -> list[Message]:
    """What it says until a capability is found, or to its end."""
    assert child.stdout is not None
    deframer, messages = Deframer(), list[Message]()
    while data := os.read(child.stdout.fileno(), 1 << 16):
        messages.extend(deframer.feed(data))
        if until in names(messages):
            break
    return messages


def names(messages: list[Message]) -> list[str]:
    return [message.name for message in messages if isinstance(message, Found)]


def test_each_capability_is_told_as_soon_as_it_is_found(redis_server: RedisServer) -> None:
    with asked(Examine(redis_server.url)) as child:
        assert names(heard(child, "sign in")) == ALL[:2]  # and not yet what takes five seconds to find
        rest = heard(child)
        assert names(rest) == ALL[2:]
        assert child.wait(5) == 0
    found = {message.name: message for message in rest if isinstance(message, Found)}
    assert found["subscribe"].ok
    assert found["workers"].ok is None
    assert "Start a worker" in found["workers"].remedy


def test_a_password_that_is_refused_is_told_and_not_repeated() -> None:
    with (
        RedisServer("--requirepass", "right") as server,
        asked(Examine(f"redis://127.0.0.1:{server.port}/0", "canary-7")) as child,
    ):
        messages = heard(child)
        assert child.wait(5) == 0
    assert [(found.name, found.ok) for found in messages if isinstance(found, Found)] == [
        ("connect", True),
        ("sign in", False),
    ]
    assert "canary-7" not in repr(messages)


def test_an_address_that_can_not_be_used_is_told_in_a_sentence() -> None:
    with asked(Examine("redis://127.0.0.1:1/zero", "canary-7")) as child:
        messages = heard(child)
        assert child.wait(5) == 1
    assert [type(message) for message in messages] == [Refused]
    assert "database" in repr(messages)
    assert "canary-7" not in repr(messages)


def test_an_address_is_read_without_connecting_to_it() -> None:
    for options in ({}, {"result_backend": "redis://elsewhere/1"}):
        with asked(Examine("redis://127.0.0.1:1/0", options=options, connect=False)) as child:
            assert heard(child) == []
            assert child.wait(5) == 0


def test_a_child_whose_pipe_closes_ends_at_once(redis_server: RedisServer, client: Redis) -> None:
    with asked(Examine(redis_server.url)) as child:
        heard(child, "sign in")
        eventually(client.pubsub_numpat, "it listens")
        assert child.stdin is not None
        child.stdin.close()
        assert names(heard(child)) == []
        assert child.wait(LISTEN / 2) == 0


def test_one_that_is_stopped_while_workers_are_asked_leaves_nothing_behind(
    redis_server: RedisServer, client: Redis
) -> None:
    examination = Examination(Examine(redis_server.url), listen=0.1)
    found: list[str] = []
    with client.pubsub() as mute:  # type: ignore[no-untyped-call]
        mute.subscribe("/0.celery.pidbox")  # as a worker that does not answer
        mute.get_message(timeout=5)
        look = threading.Thread(target=lambda: found.extend(each.name for each in examination.findings()))
        look.start()
        eventually(lambda: mute.get_message(timeout=1), "workers are asked")
        assert client.keys()
        examination.stop()
        look.join(1.5)  # it would wait for two seconds
        assert not look.is_alive()
    assert found == ALL[:4]
    assert staying(client) == set()


def test_the_doctor_has_them_all_in_a_list(redis_server: RedisServer) -> None:
    assert [finding.name for finding in examine(Examine(redis_server.url), listen=0.1)] == ALL
