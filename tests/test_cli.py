"""The command line as its user meets it: words in, sentences and exit codes out."""

import csv
import io
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from app.models.history.reader import Reader
from app.paths import self_command
from tests.bench.load import events
from tests.helpers.events import envelope
from tests.helpers.servers import RabbitServer, RedisServer
from tests.helpers.waiting import eventually


def cloche(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(self_command(*words), capture_output=True, text=True, check=False, timeout=90)


def publish(url: str, tasks: int) -> None:
    client = Redis.from_url(url)
    for event in events(tasks):
        client.publish("/0.celeryev/task.multi", envelope(event | {"timestamp": time.time()}))
    client.close()


@pytest.fixture
def recording(redis_server: RedisServer, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """`cloche record`, listening."""
    history = tmp_path / "r.cloche"
    command = self_command("record", redis_server.url, "--history", str(history), "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["state"] == "live":
                break
        yield process, history
        if process.poll() is None:
            process.kill()


def recorded(history: Path) -> int:
    reader = Reader(history)
    try:
        return reader.accounting().received
    finally:
        reader.close()


def test_a_recording_ends_cleanly_on_ctrl_c_and_says_what_it_took(
    recording: tuple[subprocess.Popen[str], Path], redis_server: RedisServer
) -> None:
    process, history = recording
    publish(redis_server.url, 100)
    eventually(lambda: recorded(history) == 300, "300 events recorded")
    process.send_signal(signal.SIGINT)
    said, complaints = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in complaints
    last = json.loads(said.strip().rsplit("\n", 1)[-1])
    assert last == {"received": 300, "stored": 300, "rejected": 0, "shed": 0, "tasks": 100}


def test_stats_and_export_tell_what_was_recorded(
    recording: tuple[subprocess.Popen[str], Path], redis_server: RedisServer, tmp_path: Path
) -> None:
    process, history = recording
    publish(redis_server.url, 100)
    eventually(lambda: recorded(history) == 300, "300 events recorded")
    process.terminate()
    process.communicate(timeout=20)

    figures = json.loads(cloche("stats", str(history), "--json").stdout)
    assert figures["tasks"]["total"] == 100
    assert figures["tasks"]["by_state"] == {"FAILURE": 2, "SUCCESS": 98}
    assert sum(row["count"] for row in figures["tasks"]["by_name"].values()) == 100
    assert figures["tasks"]["by_name"]["shop.tasks.job_0"]["failed"] == 1
    assert figures["tasks"]["by_name"]["shop.tasks.job_1"]["run"]["p50"] == pytest.approx(0.0123, rel=0.01)
    assert figures["accounting"] == {"received": 300, "stored": 300, "shed": {}, "rejected": {}}
    assert figures["gaps"] == []
    assert {worker["hostname"] for worker in figures["workers"]} == {f"celery@worker-{n}" for n in range(10)}

    text = cloche("stats", str(history))
    assert text.stdout.startswith("100 tasks: 98 SUCCESS · 2 FAILURE")

    failed = cloche("export", str(history), "--where", "state:failed")
    assert [row["name"] for row in csv.DictReader(io.StringIO(failed.stdout))] == [
        "shop.tasks.job_0",
        "shop.tasks.job_50",
    ]
    out = tmp_path / "all.jsonl"
    assert cloche("export", str(history), "--format", "jsonl", "-o", str(out)).returncode == 0
    assert len([json.loads(line) for line in out.read_text().splitlines()]) == 100


def test_a_second_recorder_of_the_same_history_is_told_so(
    recording: tuple[subprocess.Popen[str], Path], redis_server: RedisServer
) -> None:
    _, history = recording
    second = cloche("record", redis_server.url, "--history", str(history), "--for", "1s")
    assert second.returncode == 1
    assert second.stderr.startswith(f"cloche: Another Cloche is recording into {history}.")


def test_a_recording_that_never_reached_its_broker_fails_and_says_why(tmp_path: Path) -> None:
    done = cloche("record", "redis://127.0.0.1:1/0", "--history", str(tmp_path / "none.cloche"), "--for", "1s")
    assert done.returncode == 1
    why = "No connection to the broker 127.0.0.1:1/0: Connection refused. Is it running?"
    # Its events and its queues are asked for over two connections, which fail for one reason.
    assert done.stderr.splitlines().count(why) == 1
    assert done.stderr.splitlines()[-1] == f"cloche: Nothing was recorded: {why}"


def test_a_recording_goes_on_where_it_ended_and_keeps_the_gap(redis_server: RedisServer, tmp_path: Path) -> None:
    history = tmp_path / "twice.cloche"
    for _ in range(2):
        done = cloche("record", redis_server.url, "--history", str(history), "--for", "2s")
        assert done.returncode == 0, done.stderr
    gaps = json.loads(cloche("stats", str(history), "--json").stdout)["gaps"]
    assert [gap["why"] for gap in gaps] == ["Cloche was not running."]
    assert gaps[0]["to"] >= gaps[0]["from"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("stats", "missing.cloche"), 2, "does not exist"),
        (("no-such-command",), 1, "neither a broker address"),
        (("record", "rediss://broker/0?ssl_cert_reqs=none"), 1, "Without a check of certificates"),
        (("record", "redis://broker/notanint"), 1, "'notanint'"),
        (("record", "redis://broker", "--option", "nonsense=1"), 1, "'nonsense' is not known"),
        (("record", "redis://broker", "--option", "nonsense"), 2, "KEY=VALUE"),
        (("record", "redis://broker", "--for", "soon"), 2, "Write it like 30s"),
        (("doctor", "redis://127.0.0.1:1/0"), 1, "Connection refused"),
        (("record",), 2, "Missing argument"),
    ],
)
def test_a_mistake_is_one_sentence_and_never_a_traceback(words: tuple[str, ...], code: int, sentence: str) -> None:
    done = cloche(*words)
    assert done.returncode == code
    assert sentence in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_search_that_is_wrong_says_where(tmp_path: Path, redis_server: RedisServer) -> None:
    history = tmp_path / "empty.cloche"
    assert cloche("record", redis_server.url, "--history", str(history), "--for", "1s").returncode == 0
    done = cloche("export", str(history), "--where", "(first")
    assert done.returncode == 1
    assert "Missing closing parenthesis" in done.stderr
    assert "position" in done.stderr


def test_a_file_that_is_no_history_is_refused_and_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a history")
    done = cloche("stats", str(other))
    assert done.returncode == 1
    assert "not a database" in done.stderr or "not a history" in done.stderr
    assert other.read_text() == "not a history"


def test_the_doctor_of_a_redis_without_workers_says_what_to_do(redis_server: RedisServer) -> None:
    done = cloche("doctor", redis_server.url, "--json")
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0
    assert findings["connect"]["ok"]
    assert findings["subscribe"]["ok"]
    assert findings["queues"]["ok"]
    assert findings["workers"]["ok"] is None
    assert "Start a worker" in findings["workers"]["remedy"]


def test_the_doctor_names_a_wrong_password() -> None:
    with RedisServer("--requirepass", "right") as server:
        url = server.url.replace("redis://", "redis://:wrong@").replace(":right@", "")
        done = cloche("doctor", url if url.count("@") == 1 else f"redis://:wrong@127.0.0.1:{server.port}/0")
    assert done.returncode == 1
    assert "refused the sign-in" in done.stdout
    assert "wrong@" not in done.stdout + done.stderr


def test_doctor_examines_rabbitmq_too(rabbitmq_url: str) -> None:
    done = cloche("doctor", rabbitmq_url, "--json")
    assert done.returncode == 0, done.stderr
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert [found[name]["ok"] for name in ("connect", "sign in", "subscribe", "queues")] == [True] * 4
    assert "RabbitMQ" in found["connect"]["text"]
    assert "guest" not in done.stdout + done.stderr


def test_doctor_tells_a_missing_virtual_host_from_a_broker_that_is_down(rabbitmq_server: RabbitServer) -> None:
    done = cloche("doctor", rabbitmq_server.url_of("a/b"))
    assert done.returncode == 1
    assert "has no virtual host 'a/b'" in done.stdout
    assert "Check that the broker runs" not in done.stdout
