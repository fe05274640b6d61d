"""`cloche queues` on real brokers, with messages and workers of real Celery applications."""

import json
import subprocess
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from redis import Redis

from app.cli import cli
from app.paths import self_command
from tests.helpers import rabbits
from tests.helpers.celery_apps import make_app, worker
from tests.helpers.servers import HOST, RabbitServer, RedisServer
from tests.helpers.waiting import eventually


def cloche(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(self_command(*words), capture_output=True, text=True, check=False, timeout=90)


def listed(url: str, *words: str) -> dict[str, dict[str, Any]]:
    done = cloche("queues", url, "--json", *words)
    assert done.returncode == 0, done.stderr
    return {queue["name"]: queue for queue in json.loads(done.stdout)}


def figures(queue: dict[str, Any]) -> tuple[int | None, int | None, int | None, int | None]:
    return queue["ready"], queue["unacked"], queue["scheduled"], queue["consumers"]


def test_the_oldest_message_is_dated_by_the_history_of_its_broker(redis_server: RedisServer, client: Redis) -> None:
    command = self_command("record", redis_server.url, "--json")
    app = make_app(redis_server.url)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(json.loads(line)["state"] == "live" for line in process.stdout)
        app.send_task("truth.add", (1, 1), queue="mail")
        eventually(lambda: client.llen("mail") == 1, "the message")
        eventually(lambda: listed(redis_server.url)["mail"]["oldest"] is not None, "its age")
        found = listed(redis_server.url)["mail"]
        assert found["oldest_exact"] is True
        assert 0.0 < found["oldest"] < 60.0
        process.terminate()
    app.close()
    table = cloche("queues", redis_server.url).stdout.splitlines()
    assert table[0].split() == ["queue", "ready", "unacked", "scheduled", "consumers", "oldest"]
    assert table[1].split()[:4] == ["mail", "1", "0", "0"]


def test_queues_of_rabbitmq_are_those_that_are_named_and_those_that_workers_consume(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path
) -> None:
    app = make_app(rabbitmq_url)
    for number in range(3):
        app.send_task("truth.add", (number, 1), queue="noworker")
    with worker(rabbitmq_url, "w1", tmp_path / "w1.log", "-E", "-c", "1"):
        eventually(lambda: "celery" in listed(rabbitmq_url), "that the worker says what it consumes", within=60)
        found = listed(rabbitmq_url, "--queue", "noworker")
        assert {name: (each["ready"], each["consumers"]) for name, each in found.items()} == {
            "celery": (0, 1), "noworker": (3, 0),
        }  # fmt: skip
        assert {(each["rate_in"], each["memory"], each["dead_letter"]) for each in found.values()} == {(None,) * 3}
    app.close()
    done = cloche("queues", rabbitmq_url, "--mode", "passive")
    assert done.stdout == "No queue is known.\n"
    assert "Only queues that are named" in done.stderr
    assert f"management_url=http://{HOST}:15672" in done.stderr


def test_all_queues_of_rabbitmq_are_listed_and_described_where_its_management_api_may_be_asked(
    rabbitmq_server: RabbitServer, rabbitmq_url: str
) -> None:
    option = ("--option", f"management_url=http://{HOST}:{rabbitmq_server.management_port}", "--mode", "passive")
    with rabbits.client(rabbitmq_url) as channel:
        rabbits.declare(channel, "mail", x_dead_letter_exchange="", x_dead_letter_routing_key="dead")
        rabbits.declare(channel, "dead", x_queue_type="quorum")
        rabbits.send(channel, "mail", 3)

        def known() -> bool:
            mail = listed(rabbitmq_url, *option)["mail"]
            return None not in (mail["memory"], mail["unacked"])

        eventually(known, "the figures", within=60)
        found = listed(rabbitmq_url, *option)
        mail, dead = found["mail"], found["dead"]
        assert (figures(mail), mail["type"], mail["durable"], mail["policy"]) == (
            (3, 0, None, 0),
            "classic",
            True,
            None,
        )
        assert mail["dead_letter"] == {"exchange": "", "routing_key": "dead", "queues": ["dead"]}
        assert (dead["type"], dead["role"], dead["dead_letters_of"]) == ("quorum", "dead letter", ["mail"])
        assert (mail["rate_in"] or 0.0) >= mail["rate_out"] == 0.0
        done = cloche("queues", rabbitmq_url, *option)
        assert done.stderr == ""
        assert done.stdout.splitlines()[0].split()[-3:] == ["in/s", "out/s", "role"]


def test_a_broker_without_queues_says_so_and_one_that_is_down_is_an_error(redis_server: RedisServer) -> None:
    assert cloche("queues", redis_server.url).stdout == "There are no queues.\n"
    redis_server.kill()
    done = cloche("queues", redis_server.url, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Connection refused. Is it running?" in done.stderr


def test_messages_are_shown_and_not_taken(redis_server: RedisServer, client: Redis) -> None:
    app = make_app(redis_server.url)
    for number in range(3):
        app.send_task("truth.add", (number, "zwei"), {"y": None}, queue="mail", task_id=f"t{number}")
    app.close()
    done = cloche("messages", redis_server.url, "mail", "--limit", "2", "--json")
    page = json.loads(done.stdout)
    assert [message["id"] for message in page["messages"]] == ["t0", "t1"]
    assert (page["total"], page["messages"][0]["args"]) == (3, '[0, "zwei"]')
    newest = cloche("messages", redis_server.url, "mail", "--newest", "--limit", "1", "--start", "1")
    assert "t1  truth.add" in newest.stdout
    assert newest.stderr == "2–2 of 3 messages in mail\n"
    assert client.llen("mail") == 3


def run(*words: str) -> Result:
    """The same in this process, which takes less time."""
    return CliRunner().invoke(cli, words)


def test_messages_of_rabbitmq_are_shown_in_operate_mode_to_who_wants_it(
    rabbitmq_url: str, rabbitmq_server: RabbitServer
) -> None:
    app = make_app(rabbitmq_url)
    for number in range(3):
        app.send_task("truth.add", (number, "zwei"), queue="mail", task_id=f"t{number}")
    app.close()
    for words, why in (
        ((), "in operate mode only"),
        (("--mode", "passive", "--yes"), "in operate mode only"),
        (("--mode", "operate"), "Add --yes to look all the same"),
    ):
        refused = run("messages", rabbitmq_url, "mail", *words)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "marked as redelivered" in refused.stderr
        assert why in refused.stderr
    shown = run("messages", rabbitmq_url, "mail", "--mode", "operate", "--yes", "--limit", "2")
    assert [line.split()[1] for line in shown.stdout.splitlines()] == ["t0", "t1"]
    assert "redelivered" not in shown.stdout, "and nobody had looked before"
    assert shown.stderr == "1–2 of 3 messages in mail\n"
    again = run("messages", rabbitmq_url, "mail", "--mode", "operate", "--yes", "--json")
    page = json.loads(again.stdout)
    assert [(message["id"], message["redelivered"]) for message in page["messages"]] == [
        ("t0", True), ("t1", True), ("t2", False),
    ]  # fmt: skip
    for wish in (["--names"], ["--find", "t1"], ["--newest", "--yes"]):
        refused = run("messages", rabbitmq_url, "mail", "--mode", "operate", *wish)
        assert (refused.exit_code, refused.stdout) == (1, "")
    api = f"management_url=http://127.0.0.1:{rabbitmq_server.management_port}"
    absent = run("messages", rabbitmq_url, "mial", "--mode", "operate", "--yes", "--option", api)
    assert absent.exit_code == 1
    assert "has no queue 'mial'" in absent.stderr
    assert "Did you mean mail?" in absent.stderr


def test_names_are_counted_and_ids_are_found(redis_server: RedisServer) -> None:
    app = make_app(redis_server.url)
    for number in range(9):
        app.send_task("truth.fail" if number % 3 else "truth.add", queue="mail", task_id=f"t{number}")
    app.close()
    names = run("messages", redis_server.url, "mail", "--names")
    assert [line.split() for line in names.stdout.splitlines()] == [
        ["task", "messages", "share"],
        ["truth.fail", "6", "66.7", "%"],
        ["truth.add", "3", "33.3", "%"],
    ]
    assert names.stderr == "All of 9 messages.\n"
    told = json.loads(run("messages", redis_server.url, "mail", "--names", "--json").stdout)
    assert (told["names"], told["total"], told["looked"], told["sample"]) == (
        {"truth.fail": 6, "truth.add": 3}, 9, 9, False,
    )  # fmt: skip
    found = run("messages", redis_server.url, "mail", "--find", "t4")
    assert (found.exit_code, found.stdout.split()[:3]) == (0, ["4", "t4", "truth.fail"])
    assert found.stderr == "Found, with 4 messages before it.\n"
    several = json.loads(run("messages", redis_server.url, "mail", "--find", "truth.add", "--json").stdout)
    assert [(message["id"], message["place"]) for message in several["found"]] == [("t6", 6), ("t3", 3), ("t0", 0)]
    absent = run("messages", redis_server.url, "mail", "--find", "t9")
    assert (absent.exit_code, absent.stdout) == (1, "")
    assert "all of 9 messages were looked at" in absent.stderr
    for words in (("--names", "--find", "x"), ("--find", " ")):
        assert run("messages", redis_server.url, "mail", *words).exit_code == 2


def test_a_queue_that_is_not_there_is_told_from_one_that_is_empty(redis_server: RedisServer, client: Redis) -> None:
    app = make_app(redis_server.url)
    app.send_task("truth.add", (1, 1), queue="mail")
    app.close()
    client.delete("mail")
    empty = run("messages", redis_server.url, "mail")
    assert (empty.exit_code, empty.stdout, empty.stderr) == (0, "", "0 messages in mail\n")
    for words in ((), ("--names",), ("--find", "x"), ("--mode", "passive")):
        absent = run("messages", redis_server.url, "mial", *words)
        assert (absent.exit_code, absent.stdout) == (1, "")
        assert "has no queue 'mial': nothing waits there, no exchange leads to it. Did you mean mail?" in absent.stderr
    assert "Did you mean" not in run("messages", redis_server.url, "zzz").stderr
