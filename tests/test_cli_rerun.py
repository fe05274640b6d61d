"""`cloche rerun` and `cloche send`, on real brokers."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from app.cli import cli
from app.collectors.envelope import Known, for_redis, made
from app.models.target import target_of
from app.paths import self_command
from tests.helpers import rabbits
from tests.helpers.events import event
from tests.helpers.histories import recording
from tests.helpers.servers import RabbitServer, RedisServer

OPERATE = ("--mode", "operate", "--yes")


def cloche(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(self_command(*words), capture_output=True, text=True, check=False, timeout=90)


def wait_in(client: Redis, queue: str, *ids: str) -> None:
    for id_ in ids:
        message = made(Known(name="shop.bill", args=[id_, "it's"], kwargs={}, id=id_))
        client.lpush(queue, for_redis(message, "", queue))


def sent(client: Redis, queue: str) -> list[dict[str, Any]]:
    found = (json.loads(raw)["headers"] for raw in client.lrange(queue, 0, -1))
    return [headers for headers in found if headers["origin"] == "cloche"]


def test_tasks_are_run_again_to_another_queue(redis_server: RedisServer, client: Redis) -> None:
    wait_in(client, "celery", "a", "b")
    done = cloche("rerun", redis_server.url, "a", "b", "--queue", "again", *OPERATE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Run 2 tasks again" in done.stdout
    assert "done: 2 of 2 tasks. 2 tasks sent again, under new ids." in done.stdout
    assert [headers["retried_from"] for headers in sent(client, "again")] == ["b", "a"]


def test_a_plan_says_what_is_known_and_does_nothing(redis_server: RedisServer, client: Redis) -> None:
    wait_in(client, "celery", "a")
    done = cloche("rerun", redis_server.url, "a", "unknown", "--plan", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["count"], plan["needs_edit"]) == (1, ["unknown"])
    assert [(task["id"], task["grade"]) for task in plan["details"]["tasks"]] == [
        ("unknown", "incomplete"),
        ("a", "exact"),
    ]
    assert client.llen("celery") == 1


def test_what_is_known_is_shown_as_it_would_be_said_and_nothing_is_asked_where_nothing_can_be_sent(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = target_of(redis_server.url, {}).history
    path.parent.mkdir(parents=True, exist_ok=True)
    with recording(path) as made:
        told = event("sent", 0, uuid="a", name="shop.bill", queue="mail", args="('it\\'s', 2)", kwargs="{}")
        made.play([told]).commit(1)
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)
    words = ["rerun", redis_server.url, "a", "unknown", "--mode", "operate"]
    done = CliRunner().invoke(cli, words, input="production\n0\n")
    assert (done.exit_code, client.llen("mail")) == (1, 0)
    assert "To act here" not in done.stderr
    assert done.stderr.endswith("cloche: As it is, there is nothing that could be done.\n")
    said = next(line for line in done.stdout.splitlines() if "--args" in line and "--kwargs" in line)
    assert json.loads(shlex.split(said)[1]) == ["it's", 2]
    assert "Nothing is known of this task, not even its name." in done.stdout


def test_what_is_not_known_is_not_sent_and_the_exit_code_says_so(redis_server: RedisServer, client: Redis) -> None:
    wait_in(client, "celery", "a")
    done = cloche("rerun", redis_server.url, "a", "unknown", "--queue", "again", *OPERATE)
    assert done.returncode == 1
    assert "1 task not sent: its arguments need your look." in done.stdout
    assert len(sent(client, "again")) == 1


def test_arguments_can_be_given(redis_server: RedisServer, client: Redis, tmp_path: Path) -> None:
    wait_in(client, "celery", "a")
    given = tmp_path / "args.json"
    given.write_text('["żółć"]', encoding="utf-8")
    words = ("rerun", redis_server.url, "a", "--queue", "again", "--args", f"@{given}", "--kwargs", '{"k": 1}')
    done = cloche(*words, *OPERATE)
    assert done.returncode == 0, done.stderr
    (headers,) = sent(client, "again")
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("['żółć']", "{'k': 1}")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["rerun", "redis://localhost:1/0"], "Name tasks by their ids, or search"),
        (["rerun", "redis://localhost:1/0", "a", "--search", "x"], "Name tasks by their ids, or search"),
        (["rerun", "redis://localhost:1/0", "a", "b", "--args", "[]", "--kwargs", "{}"], "are for one task"),
        (["rerun", "redis://localhost:1/0", "a", "--args", "[]"], "Give both"),
        (["rerun", "redis://localhost:1/0", "a", "--args", "{}", "--kwargs", "{}"], "Arguments are a JSON array"),
        (["rerun", "redis://localhost:1/0", "a", "--args", "@/no/file", "--kwargs", "{}"], "can't be read"),
        (["send", "redis://localhost:1/0", "t", "--kwargs", "[]"], "Keyword arguments are a JSON object"),
        (["send", "redis://localhost:1/0", "t", "--eta", "soon"], "is no time"),
        (["send", "redis://localhost:1/0", "t", "--priority", "256"], "256 is not in the range"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_asked(words: list[str], why: str) -> None:
    done = CliRunner().invoke(cli, words)
    assert done.exit_code != 0
    assert why in done.output


def test_a_task_is_sent_with_what_was_said(redis_server: RedisServer, client: Redis) -> None:
    words = ("send", redis_server.url, "shop.bill", "--args", "[1, NaN]", "--queue", "mail", "--priority", "3")
    done = cloche(*words, "--eta", "+1h", "--expires", "2099-01-01T00:00Z", "--time-limit", "30s", *OPERATE, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (headers,) = sent(client, "mail\x06\x163")
    assert told["outcome"]["items"] == [["shop.bill", True, f"sent as {headers['id']}"]]
    assert (headers["argsrepr"], headers["timelimit"], headers["expires"]) == (
        "[1, nan]", [30.0, None], "2099-01-01T00:00:00+00:00",
    )  # fmt: skip


def test_nothing_is_sent_in_another_mode(redis_server: RedisServer, client: Redis) -> None:
    done = cloche("send", redis_server.url, "shop.bill", "--yes")
    assert done.returncode == 1
    assert "operate" in done.stderr
    assert client.keys("*") == []


def test_on_rabbitmq_a_queue_has_to_be_there(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    done = cloche("send", rabbitmq_url, "shop.bill", "--queue", "mail", *OPERATE)
    assert done.returncode == 1
    assert "There is no queue mail." in done.stdout
    with rabbits.client(rabbitmq_url) as channel:
        rabbits.declare(channel, "mail")
        assert cloche("send", rabbitmq_url, "shop.bill", "--queue", "mail", *OPERATE).returncode == 0
        assert channel.basic_get("mail", no_ack=True).headers["task"] == "shop.bill"
