"""Inputs by the hundred thousand: nothing escapes, nothing hangs, nothing runs, and every good event arrives."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.collectors import checks
from app.collectors.normalise import Normaliser
from app.models.records import Event
from tests.fuzz.harness import Broken, Harness
from tests.fuzz.inputs import Inputs
from tests.helpers.celery_apps import ROOT

COUNT = 100_000


def told_by(*words: str) -> Any:
    """What a script of ours printed; it runs in a process of its own, since an audit hook can't be taken out again."""
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
def test_i02_a_hundred_thousand_inputs_break_nothing(seed: int) -> None:
    told = told_by("tests.fuzz.run", "--count", str(COUNT), "--seed", str(seed))
    assert "failure" not in told, json.dumps(told, indent=2)
    assert (told["inputs"], told["hits"]) == (COUNT, 0)
    # It would prove little if most were refused at the door, or for one reason.
    assert told["accepted"] > COUNT / 2
    assert len(told["rejected"]) >= 10


def test_i02_an_input_is_the_same_each_time_it_is_made() -> None:
    assert [Inputs(7).make(number) for number in range(200)] == [Inputs(7).make(number) for number in range(200)]
    assert Inputs(7).make(1) != Inputs(8).make(1)


# --- the fuzzer finds what is broken ---------------------------------------------------------------------------------


def first_broken(folder: Path) -> str:
    """What the fuzzer finds within two thousand inputs."""
    harness, inputs = Harness(folder / "h"), Inputs(1)
    try:
        for number in range(2_000):
            made = inputs.make(number)
            harness.take(made.payload, 1_795_230_000.0 + number, made.good)
            if number % 500 == 499:
                harness.commit(1_795_230_000.0 + number)
        harness.finish()
    except (Broken, UnicodeEncodeError) as broken:
        return f"{type(broken).__name__}: {broken}"
    finally:
        harness.close()
    return "nothing"


def test_i02_the_fuzzer_finds_nothing_where_nothing_is_broken(tmp_path: Path) -> None:
    assert first_broken(tmp_path) == "nothing"


def test_i02_the_fuzzer_finds_text_that_is_not_cleaned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "clean_text", lambda text, _limit=0: text)
    assert "hides" in first_broken(tmp_path)


def test_i02_the_fuzzer_finds_words_that_are_not_cleaned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "clean_word", lambda text: text)
    assert "hides" in first_broken(tmp_path)


def test_i02_the_fuzzer_finds_a_good_event_that_is_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read = Normaliser.redis_message

    def forgetful(self: Normaliser, payload: bytes, seen: float, out: list[Event]) -> None:
        read(self, payload, seen, out)
        kept = [each for each in out if not (each.type == "task-succeeded" and each.hostname == "good1@test")]
        self.rejected["out of range"] += len(out) - len(kept)
        out[:] = kept

    monkeypatch.setattr(Normaliser, "redis_message", forgetful)
    assert "2 of 3 were read" in first_broken(tmp_path)


def test_i02_the_fuzzer_finds_an_event_that_is_not_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read = Normaliser.redis_message

    def careless(self: Normaliser, payload: bytes, seen: float, out: list[Event]) -> None:
        read(self, payload, seen, out)
        self.received -= any(each.type == "task-retried" for each in out)

    monkeypatch.setattr(Normaliser, "redis_message", careless)
    assert "accepted and rejected" in first_broken(tmp_path)


def test_i02_the_fuzzer_finds_a_number_that_is_out_of_bounds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "MAX_INTEGER", 1 << 70)
    assert "Broken: " in first_broken(tmp_path)


# --- I03: what would run ---------------------------------------------------------------------------------------------


def test_i03_live_pickles_yaml_and_msgpack_run_nothing_in_events_and_replies() -> None:
    assert told_by("tests.fuzz.payloads") == []


def test_i03_the_pickles_are_alive() -> None:
    hits = told_by("tests.fuzz.payloads", "careless")
    assert {hit.partition("(")[0] for hit in hits} >= {"pickle.find_class", "os.system", "subprocess.Popen", "exec"}
