"""`cloche revoke` and `cloche worker`: what they say, what they do, and how they end."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import cli
from app.models import audit_chain
from app.models.target import target_of
from app.paths import audit_file, self_command
from tests.helpers.acting import telling
from tests.helpers.celery_apps import worker
from tests.helpers.events import event
from tests.helpers.fake_workers import Manners, fake_workers, named
from tests.helpers.histories import recording
from tests.helpers.listening import overhearing
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

OPERATE = ("--mode", "operate", "--yes")


def cloche(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def test_a_revoke_is_planned_done_and_written_down(redis_server: RedisServer) -> None:
    with fake_workers(redis_server.url, Manners(named(4))), overhearing(redis_server.url) as heard:
        planned = cloche("revoke", redis_server.url, "t1", "t2", "--plan")
        assert planned.exit_code == 0, planned.output
        assert planned.output.startswith(
            f"Revoke 2 tasks\n  Broker        127.0.0.1:{redis_server.port}\n"
            "  Will be told  4 workers: w0@fake, w1@fake, w2@fake, w3@fake\n"
        )
        assert heard.said("revoke") == []
        done = cloche("revoke", redis_server.url, "t1", "t2", *OPERATE)
        assert done.exit_code == 0, done.output
        assert "ok      t1  revoke asked, 4 workers told" in done.output
        assert heard.said("revoke") == [{"task_id": ["t1", "t2"], "terminate": False, "signal": "SIGTERM"}]
    kinds = [entry.kind for entry, _ in audit_chain.read(audit_file())]
    assert kinds[-3:] == ["intent", "items", "outcome"]


def test_nothing_is_done_in_another_mode_than_operate(redis_server: RedisServer) -> None:
    with fake_workers(redis_server.url, Manners(named(1))), overhearing(redis_server.url) as heard:
        refused = cloche("revoke", redis_server.url, "t1", "--yes")
        assert refused.exit_code == 1
        assert "“observe” nothing is done" in refused.output
        assert heard.said("revoke") == []


def test_an_outcome_is_told_as_json(redis_server: RedisServer) -> None:
    with fake_workers(redis_server.url, Manners(named(2), silent=["w1@fake"])):
        words = ("worker", redis_server.url, "events-on", "--worker", "w0@fake", *OPERATE, "--json")
        done = cloche(*words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["plan"]["title"] == "Turn on events of w0@fake"
    assert told["outcome"]["items"] == [["w0@fake", True, "enable_events"]]


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C is no signal there")
def test_ctrl_c_stops_between_two_steps_and_what_was_done_is_told_and_written_down(redis_server: RedisServer) -> None:
    ids = [f"t{number}" for number in range(100)]
    command = self_command("revoke", redis_server.url, *ids, "--rate", "20", *OPERATE)
    with (
        fake_workers(redis_server.url, Manners(named(1))),
        overhearing(redis_server.url) as heard,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        eventually(lambda: heard.said("revoke"), "the first step", within=60)
        process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=20)
        told = len(heard.said("revoke")) * 20
    assert (process.returncode, complaints) == (1, "")
    assert f"stopped: {told} of 100 tasks. It was stopped." in said
    outcome = [entry for entry, _ in audit_chain.read(audit_file())][-1].outcome
    assert outcome is not None
    assert (outcome.state, outcome.done) == ("stopped", told)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "Say which tasks"),
        (("t1", "--search", "x"), "Say which tasks"),
        (("--stamped", "novalue"), "HEADER=VALUE"),
        (("--stamped", "a=1", "--stamped", "b=2"), "One stamped header at a time"),
        (("--stamped", "a=1", "--take-out"), "--take-out is for ids"),
        (("t1", "--signal", "KILL"), "'KILL' is not one of"),
    ],
)
def test_what_is_meant_has_to_be_clear(words: tuple[str, ...], says: str) -> None:
    refused = cloche("revoke", "redis://localhost:1/0", *words)
    assert refused.exit_code == 2
    assert says in refused.output


def test_a_whole_search_is_revoked_from_the_history_of_an_address(redis_server: RedisServer) -> None:
    path = target_of(redis_server.url, {}).history
    path.parent.mkdir(parents=True, exist_ok=True)
    with recording(path) as made:
        made.play([event("sent", 0, uuid=f"t{each}", name="shop.add", queue="q") for each in range(3)]).commit(1)
    with fake_workers(redis_server.url, Manners(named(1))), overhearing(redis_server.url) as heard:
        done = cloche("revoke", redis_server.url, "--search", "name:shop.add", *OPERATE)
        assert done.exit_code == 0, done.output
        assert [sorted(said["task_id"]) for said in heard.said("revoke")] == [["t0", "t1", "t2"]]


def test_which_workers_are_meant_is_never_guessed(redis_server: RedisServer) -> None:
    with fake_workers(redis_server.url, Manners(named(2))), overhearing(redis_server.url) as heard:
        refused = cloche("worker", redis_server.url, "events-on", *OPERATE)
        assert refused.exit_code == 1
        assert refused.output.endswith("by --worker NAME or --all-workers. These answer:\n  w0@fake\n  w1@fake\n")
        both = cloche("worker", redis_server.url, "events-on", "--all-workers", "--worker", "w0@fake", *OPERATE)
        assert both.exit_code == 2
        assert heard.said("enable_events") == []
        done = cloche("worker", redis_server.url, "events-on", "--all-workers", *OPERATE)
        assert done.exit_code == 0, done.output
        assert "done: 2 of 2 workers." in done.output
        assert len(heard.said("enable_events")) == 1
    nobody = cloche("worker", redis_server.url, "events-on", "--all-workers", *OPERATE)
    assert (nobody.exit_code, nobody.output) == (1, "cloche: No worker answers.\n")


def test_every_command_of_workers_does_what_it_says(redis_server: RedisServer, tmp_path: Path) -> None:
    name = ("--worker", "w1@test")
    with worker(redis_server.url, "w1", tmp_path / "w1.log", slots=2), telling(redis_server.url) as control:
        eventually(lambda: control.ask("ping", timeout=1.0), "a worker that answers", within=60)

        def said(command: str, *words: str, code: int = 0) -> str:
            done = cloche("worker", redis_server.url, command, *words, *name, *OPERATE)
            assert done.exit_code == code, done.output
            return done.output

        assert "2 processes → 3 processes." in said("grow")
        assert "3 processes → 1 process." in said("shrink", "2")
        assert "→ a&b, celery." in said("consume", "a&b")
        assert "a&b, celery → celery." in said("stop-consuming", "a&b")
        assert "no limit → 10/m." in said("rate-limit", "truth.add", "10/m")
        assert "soft none, hard none → soft none, hard 100 s." in said("time-limit", "truth.add", "--hard", "100")
        assert "→ soft 5 s, hard 100 s." in said("time-limit", "truth.add", "--soft", "5")
        assert "→ soft 5 s, hard none." in said("time-limit", "truth.add", "--hard", "none")
        assert "task events enabled" in said("events-on")
        assert "task events disabled" in said("events-off")
        assert "worker_pool_restarts" in said("restart-pool", code=1)
        assert "--autoscale" in said("autoscale", "--most", "4", "--least", "1", code=1)
        assert "it listens no longer" in said("shutdown")


@pytest.mark.parametrize("limit", ["0", "-1", "NaN", "inf", "ten", ""])
def test_what_is_no_time_limit_is_refused(limit: str) -> None:
    refused = cloche("worker", "redis://localhost:1/0", "time-limit", "t", "--soft", limit, "--worker", "w")
    assert refused.exit_code == 2
    assert "is no time limit" in refused.output
