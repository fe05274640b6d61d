"""The commands that move messages, on a real Redis and with real workers."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from app.cli import cli
from app.collectors.amqp_content import packed
from app.collectors.envelope import Known, for_amqp, made
from app.models import audit_chain
from app.models.backups import About, BackupWriter
from app.models.formats import number_of
from app.paths import audit_file, self_command
from tests.helpers.celery_apps import make_app, marks, worker
from tests.helpers.messages import fill, ids_of, lists_of
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

QUARANTINE = "mail.quarantine.20261122T020728123Z"


def cloche(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def acted(*words: str) -> dict[str, Any]:
    """What a command told that did what was wished."""
    done = cloche(*words, "--mode", "operate", "--yes", "--json")
    assert done.exit_code == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(autouse=True)
def _a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_a_queue_is_purged_listed_restored_and_discarded(redis_server: RedisServer, client: Redis) -> None:
    fill(client, "mail", range(40))
    before = lists_of(client, "mail")
    url = redis_server.url

    plan = cloche("purge", url, "mail", "--mode", "operate", "--plan")
    assert plan.exit_code == 0
    assert plan.stdout.startswith("Purge the queue mail: 40 messages go into a quarantine\n")
    assert "Priority 9   10" in plan.stdout
    assert lists_of(client, "mail") == before

    told = acted("purge", url, "mail")
    name = told["outcome"]["undo"]["quarantine"]
    listed = cloche("quarantines", url).stdout
    assert listed.startswith(f"{name}  40 messages  ")
    assert "purged 0 s ago" in listed or "purged" in listed
    (found,) = json.loads(cloche("quarantines", url, "--json").stdout)
    assert (found["name"], found["queue"], found["total"]) == (name, "mail", 40)
    shown = {each["name"]: each for each in json.loads(cloche("queues", url, "--json", "--mode", "passive").stdout)}
    assert (shown[name]["role"], shown[name]["ready"]) == ("quarantine", 40)

    assert acted("restore", url, name, "--count", "4")["outcome"]["done"] == 4
    assert acted("restore", url, name, "--id", "mail-16")["outcome"]["done"] == 1
    assert ids_of(client, "mail") == ["mail-16", "mail-0", "mail-4", "mail-8", "mail-12"]
    assert acted("restore", url, name)["outcome"]["done"] == 35
    assert cloche("quarantines", url).stdout == "There are no quarantines.\n"

    acted("delete", url, "mail", "--id", "mail-20")
    acted("move", url, "mail", "slow", "--id", "mail-24")
    assert ids_of(client, "slow") == ["mail-24"]
    (found,) = json.loads(cloche("quarantines", url, "--json").stdout)
    assert found["total"] == 1
    assert acted("discard", url, found["name"])["outcome"]["done"] == 1
    assert json.loads(cloche("quarantines", url, "--json").stdout) == []
    kinds = [entry.kind for entry, _ in audit_chain.read(audit_file())]
    assert kinds.count("intent") == kinds.count("outcome") == 7


def test_a01_nothing_is_moved_but_in_operate_mode_and_when_somebody_said_so(
    redis_server: RedisServer, client: Redis
) -> None:
    fill(client, "mail", range(4))
    fill(client, QUARANTINE, range(4))
    before = lists_of(client, "mail"), lists_of(client, QUARANTINE)
    deeds = (
        ("purge", redis_server.url, "mail"), ("restore", redis_server.url, QUARANTINE),
        ("discard", redis_server.url, QUARANTINE), ("delete", redis_server.url, "mail", "--id", "mail-0"),
        ("move", redis_server.url, "mail", "slow"),
    )  # fmt: skip
    for deed in deeds:
        assert "operate" in cloche(*deed, "--yes").stderr
        assert "no terminal" in cloche(*deed, "--mode", "operate").stderr
    assert (lists_of(client, "mail"), lists_of(client, QUARANTINE)) == before
    both = cloche("restore", redis_server.url, QUARANTINE, "--count", "1", "--id", "x")
    assert both.exit_code == 2


def test_a_plan_is_shown_and_what_is_typed_has_to_be_right(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(client, "mail", range(4))
    before = lists_of(client, "mail")
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)

    def answered(typed: str, mode: str = "operate") -> Result:
        return CliRunner().invoke(cli, ["purge", redis_server.url, "mail", "--json", "--mode", mode], input=typed)

    for typed, why in (("staging\n", "That is not production."), ("production\n5\n", "That is not 4.")):
        wrong = answered(typed)
        assert (wrong.exit_code, wrong.stdout) == (1, "")
        assert wrong.stderr.endswith(f"cloche: {why} Nothing was done.\n")
    looking = answered("production\n4\n", mode="observe")
    assert "To act here" not in looking.stderr  # nothing is asked for that is refused then
    assert "“observe” nothing is done" in looking.stderr
    assert lists_of(client, "mail") == before
    done = answered("production\n4\n")
    assert json.loads(done.stdout)["outcome"]["done"] == 4
    assert done.stderr.startswith("Purge the queue mail: 4 messages go into a quarantine\n  Broker       127.0.0.1:")


def test_ctrl_c_stops_an_act_between_two_messages_and_what_was_done_is_told(
    redis_server: RedisServer, client: Redis
) -> None:
    named = [word for id_ in fill(client, "mail", range(40)) for word in ("--id", id_)]
    command = self_command("delete", redis_server.url, "mail", *named, "--rate", "4", "--yes", "--mode", "operate")

    def left() -> int:
        return sum(map(len, lists_of(client, "mail").values()))

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: left() < 40, "the first message taken out", within=60)
        process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=60)
    taken = 40 - left()
    assert 0 < taken < 40
    assert (process.returncode, complaints) == (1, "")
    assert f"\nstopped: {taken} of 40 messages. It was stopped. {number_of(taken, 'message')} of mail went into" in said
    last = [entry for entry, _ in audit_chain.read(audit_file())][-1]
    assert last.outcome is not None
    assert (last.outcome.state, last.outcome.done) == ("stopped", taken)


def test_messages_are_exported_and_a_copy_is_checked(redis_server: RedisServer, client: Redis, tmp_path: Path) -> None:
    fill(client, "mail", range(8))
    before = lists_of(client, "mail")
    exported, copied = tmp_path / "exported.bin", tmp_path / "copied.bin"
    done = cloche("messages", redis_server.url, "mail", "--export", str(exported), "--mode", "passive")
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"8 messages of mail are in {exported}." in done.stderr
    assert lists_of(client, "mail") == before
    assert "already" in cloche("messages", redis_server.url, "mail", "--export", str(exported)).stderr

    # A path is meant from where the command is given.
    acted("purge", redis_server.url, "mail", "--backup", os.path.relpath(copied))
    assert exported.read_bytes()[-100:-40] == copied.read_bytes()[-100:-40]
    told = cloche("backup", str(copied))
    assert told.exit_code == 0
    assert told.stdout.splitlines()[0].startswith("     0  mail-0  shop.send")
    assert len(told.stdout.splitlines()) == 8
    assert "8 messages of mail on 127.0.0.1:" in told.stderr
    assert told.stderr.endswith("The file is as it was written.\n")
    plain = json.loads(cloche("backup", str(copied), "--json", "--limit", "1").stdout)
    assert (plain["messages"], plain["queue"], len(plain["first"])) == (8, "mail", 1)

    copied.write_bytes(copied.read_bytes()[:-1])
    cut = cloche("backup", str(copied))
    assert (cut.exit_code, cut.stdout) == (1, "")
    assert "cut off" in cut.stderr
    missing = cloche("messages", redis_server.url, "mial", "--export", str(tmp_path / "none.bin"))
    assert "no queue 'mial'" in missing.stderr
    assert not (tmp_path / "none.bin").exists()


def test_tasks_that_were_purged_under_a_worker_run_once_each_when_they_are_restored(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    url = redis_server.url
    app = make_app(url)
    # Two tasks run until they may end, and the worker holds eight others: these go on, whatever becomes of the queue.
    sent = [app.send_task("truth.outlast", ("go",), queue="celery", priority=0).id for _ in range(2)]
    sent += [app.send_task("truth.add", (1, 1), queue="celery", priority=number % 10).id for number in range(60)]
    with worker(url, "w1", tmp_path / "w1.log", slots=2, pool="threads") as running, marks(url) as told:
        eventually(lambda: all(told.exists(f"running.{id_}") for id_ in sent[:2]), "what runs", within=60)
        eventually(lambda: client.hlen("unacked") == 8, "what the worker holds")
        plan = cloche("purge", url, "celery", "--mode", "operate", "--plan").stdout
        assert "Not purged is what workers hold, prefetched or unacknowledged: 8 messages." in plan
        purged = acted("purge", url, "celery")["outcome"]
        assert purged["done"] == 52
        told.set("go", "1")
        eventually(lambda: len(running.runtimes()) == 10, "what the worker had", within=60)
        later = [app.send_task("truth.add", (1, 1), queue="celery").id for _ in range(5)]
        assert acted("restore", url, purged["undo"]["quarantine"])["outcome"]["done"] == 52
        eventually(lambda: len(running.runtimes()) == 67, "all that was sent", within=60)
        ran = [line.split("[")[-1].split("]")[0] for line in running.lines if "] succeeded in " in line]
    assert sorted(ran) == sorted(sent + later)
    assert client.hlen("unacked") == 0
    app.close()


def test_a_task_that_was_moved_is_retried_in_the_queue_that_it_was_moved_to(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    url = redis_server.url
    app = make_app(url)
    id_ = app.send_task("truth.flaky", (1, 0.0), queue="mail", priority=6).id
    acted("move", url, "mail", "slow", "--id", id_)
    with worker(url, "w1", tmp_path / "w1.log", "-Q", "slow", slots=1, pool="solo") as running:
        eventually(lambda: id_ in running.runtimes(), "its second attempt", within=60)
    assert client.llen("mail") == 0
    assert lists_of(client, "mail") == {}
    app.close()


def test_a_file_is_put_back(redis_server: RedisServer, client: Redis, tmp_path: Path) -> None:
    fill(client, "mail", range(40))
    before, url, file = lists_of(client, "mail"), redis_server.url, str(tmp_path / "copy")
    quarantine = acted("purge", url, "mail", "--backup", file)["outcome"]["undo"]["quarantine"]
    there = cloche("restore", url, "--file", file, "--mode", "operate", "--yes")
    assert (there.exit_code, lists_of(client, "mail")) == (1, {})
    assert "All 40 messages of the file are in the broker already." in there.stderr
    acted("discard", url, quarantine)
    plan = cloche("restore", url, "--file", file, "--mode", "operate", "--plan")
    assert plan.stdout.startswith("Put 40 messages of a file into the queue mail\n")
    assert acted("restore", url, "--file", file)["outcome"]["done"] == 40
    assert lists_of(client, "mail") == before
    acted("restore", url, "--file", file, "--queue", "slow", "--again")
    assert ids_of(client, "slow") == ids_of(client, "mail")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "Name a quarantine, or a file"),
        ((QUARANTINE, "--file", __file__), "Name a quarantine, or a file"),
        (("--file", __file__, "--count", "3"), "restored as a whole"),
        ((QUARANTINE, "--again"), "are for files"),
        ((QUARANTINE, "--queue", "x"), "are for files"),
    ],
)
def test_what_makes_no_sense_to_restore_is_said(words: tuple[str, ...], why: str) -> None:
    done = cloche("restore", "redis://127.0.0.1:1/0", *words)
    assert done.exit_code == 2
    assert why in done.stderr


def test_what_a_file_says_of_itself_can_t_rewrite_the_terminal(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    client.lpush("elsewhere", "{}")
    path = tmp_path / "copy"
    with BackupWriter(path, About("b\x1b[2Kroker", "mail\x1b[1A\u202e\nPut nothing", 1e300)) as file:
        file.write([b'{"headers": {"id": "a\\u001b[2Kb", "task": "t\\u001b[2K"}, "properties": {}, "body": ""}'])
        file.finish()
    plan = cloche("restore", redis_server.url, "--file", str(path), "--plan", "--mode", "operate")
    done = cloche("restore", redis_server.url, "--file", str(path), "--mode", "operate", "--yes")
    shown = cloche("backup", str(path))
    assert (plan.exit_code, done.exit_code, shown.exit_code) == (0, 0, 0)
    for told in (plan, done, shown):
        assert not {"\x1b", "\u202e"} & {*told.output}
        assert "\nPut nothing" not in told.output
    assert "\\x1b[1A" in plan.output


def test_a_file_of_rabbitmq_is_shown(tmp_path: Path) -> None:
    sent = for_amqp(made(Known(name="shop.bill", args=["two"], kwargs={}, id="one", priority=6)))
    with BackupWriter(tmp_path / "copy", About("elsewhere", "mail", 0.0)) as file:
        file.write([packed(sent._serialize_properties(), sent.body)])
        file.finish()
    (shown,) = json.loads(cloche("backup", str(tmp_path / "copy"), "--json").stdout)["first"]
    assert (shown["id"], shown["name"], shown["args"], shown["priority"]) == ("one", "shop.bill", '["two"]', 6)
