"""`cloche audit`: what was done, whether the log of it is whole, and going on with what was broken off."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import cli
from app.collectors.access import Grant
from app.collectors.acts import catalogue
from app.collectors.acts.act import Act, Reach, Step
from app.models.acts import Caution, Item, Outcome, Plan, Revoke, Wish
from app.models.audit import AuditLog, Subject
from app.models.profiles import Profile, Profiles
from app.paths import audit_file, profiles_file

BROKER = "redis://localhost:1/0"
PLAN = Plan(
    title="Revoke 3 tasks", verb="Revoke", count=3, things="task", facts=[("Workers", "2")],
    cautions=[Caution("Workers forget it.", grave=True)],
)  # fmt: skip
WISH = Revoke(["a", "b", "c"])


class Revoking(Act[Revoke]):
    """Does what is left, to a list."""

    did: list[str]

    def look(self) -> Plan:
        return PLAN

    def still(self) -> int:
        return PLAN.count

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        for id_ in self.wish.ids:
            if id_ not in done:
                self.did.append(id_)
                yield Step([Item(id_, ok=True)])


@pytest.fixture(autouse=True)
def did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A user of his own, and what is done to the broker of his."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    did: list[str] = []

    def act_of(wish: Wish, reach: Reach) -> Revoking:
        assert isinstance(wish, Revoke)
        act = Revoking(wish, reach)
        act.did = did
        return act

    monkeypatch.setattr(catalogue, "act_of", act_of)
    return did


def cloche(*words: str) -> Result:
    return CliRunner().invoke(cli, ["audit", *words])


@pytest.fixture
def log() -> AuditLog:
    return AuditLog(audit_file(), Subject("localhost:1", BROKER, "staging"))


@pytest.fixture
def stopped(log: AuditLog) -> AuditLog:
    log.intend("abcdef0123456789", WISH, PLAN)
    log.note("abcdef0123456789", [Item("a", ok=True, text="w1 said yes\x1b[2J")])
    log.conclude("abcdef0123456789", Outcome(state="stopped", done=1, total=3, text="It was stopped."))
    return log


def test_where_nothing_was_done_that_is_said() -> None:
    assert cloche("list").stdout == "Nothing was done yet.\n"
    assert cloche("verify").stdout == "The log is as it was written: 0 lines.\n"


def test_acts_are_listed(stopped: AuditLog) -> None:
    first, second = cloche("list").stdout.splitlines()
    assert "  abcdef01  stopped " in first
    assert second == "    Revoke 3 tasks on localhost:1: 1 of 3 tasks"
    [deed] = json.loads(cloche("list", "--json").stdout)
    assert (deed["act"], deed["state"], deed["done"]) == ("abcdef0123456789", "stopped", 1)


def test_all_of_an_act_is_shown_by_the_beginning_of_its_id(stopped: AuditLog) -> None:
    lines = cloche("show", "abc").stdout.splitlines()
    assert lines[0] == "Revoke 3 tasks"
    assert "  lines    1–3" in lines
    assert "  Workers  2" in lines
    assert "  ! Workers forget it." in lines
    assert lines[-1] == r"    ok      a  w1 said yes\x1b[2J"  # nothing of it reaches the terminal as it was
    told = json.loads(cloche("show", "abc", "--json").stdout)
    assert told["wish"]["type"] == "Revoke"
    assert told["wish"]["ids"] == ["a", "b", "c"]
    assert told["lines"] == [1, 2, 3]


def test_who_has_not_answered_yet_is_told_as_asked_and_not_as_failed(log: AuditLog) -> None:
    log.intend("abcdef0123456789", WISH, PLAN)
    log.note("abcdef0123456789", [Item("a", ok=None, text="no answer yet"), Item("b", ok=False, text="refused")])
    lines = cloche("show", "abc").stdout.splitlines()
    assert lines[-2:] == ["    asked   a  no answer yet", "    failed  b  refused"]
    assert "1 of 3 tasks, 1 failed" in cloche("list").stdout


def test_of_what_was_done_nothing_is_left(log: AuditLog) -> None:
    log.intend("abcdef0123456789", WISH, PLAN)
    log.conclude("abcdef0123456789", Outcome(state="done", done=3, total=3))
    done = cloche("resume", "abc", "--mode", "operate", "--yes")
    assert (done.exit_code, done.stderr) == (1, "cloche: This act was done: nothing is left of it.\n")


def test_an_act_that_nobody_knows_is_said_to_be_unknown(stopped: AuditLog) -> None:
    done = cloche("show", "ffff")
    assert done.exit_code == 1
    assert "knows no act 'ffff'" in done.stderr


def test_a_log_that_was_changed_does_not_verify(stopped: AuditLog) -> None:
    assert cloche("verify").exit_code == 0
    changed = stopped.path.read_bytes().replace(b"w1 said yes", b"w1 said no!")
    stopped.path.write_bytes(changed)
    done = cloche("verify")
    assert done.exit_code == 1
    assert "Line 3 does not follow the one before it" in done.stdout


def test_the_log_is_exported_as_its_file_is_called(stopped: AuditLog, tmp_path: Path) -> None:
    for name in ("acts.csv", "log.jsonl"):
        done = cloche("export", str(tmp_path / name))
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("1 act: ")
    assert (tmp_path / "log.jsonl").read_bytes() == stopped.path.read_bytes()
    assert (tmp_path / "acts.csv").read_text().startswith("act,at,ended,who")
    assert cloche("export", str(tmp_path / "none" / "acts.csv")).exit_code == 1


def test_what_is_left_of_an_act_is_done_at_the_broker_it_was_done_to(stopped: AuditLog, did: list[str]) -> None:
    done = cloche("resume", "abcd", "--mode", "operate", "--yes")
    assert done.exit_code == 0, done.output
    assert did == ["b", "c"]
    assert "3 of 3 tasks" in cloche("list").stdout
    assert cloche("resume", "abcd", "--mode", "operate", "--yes").exit_code == 1
    assert did == ["b", "c"]


def test_it_is_done_by_way_of_the_profile_of_that_name(stopped: AuditLog, did: list[str]) -> None:
    Profiles(profiles_file()).put(Profile("localhost:1", BROKER, "development", "operate"))
    done = cloche("resume", "abcd", "--yes")
    assert done.exit_code == 0, done.output
    assert did == ["b", "c"]


def test_another_broker_has_nothing_left_of_it(stopped: AuditLog, did: list[str]) -> None:
    done = cloche("resume", "abcd", "redis://localhost:2/0", "--mode", "operate", "--yes")
    assert done.exit_code == 1
    assert "no such act" in done.stderr
    assert did == []
