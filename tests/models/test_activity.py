import csv
import io
import multiprocessing
import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from app.models import audit_append
from app.models.activity import Activity, Deed, came_to, export, filled, runs_of, story
from app.models.acts import Delete, Item, Outcome, Plan, Purge, Restore, Revoke
from app.models.audit import AuditLog, Subject, under_way
from app.models.audit_chain import AuditError, verify

SHOP = Subject("shop", "redis://h/0", "production")
OTHER = Subject("edr", "redis://edr/0", "staging")


def plan(count: int = 2, title: str = "Revoke 2 tasks") -> Plan:
    return Plan(title=title, verb="Revoke", count=count, things="task")


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit" / "audit.jsonl", SHOP)


def carry_out(log: AuditLog, act: str, *items: Item, title: str = "Revoke 2 tasks", **outcome: object) -> None:
    log.intend(act, Revoke([item.id for item in items]), plan(len(items), title))
    log.note(act, list(items))
    failed = sum(not item.ok for item in items)
    told = {"state": "done", "done": len(items) - failed, "failed": failed, "total": len(items)} | outcome
    log.conclude(act, Outcome(**told))  # type: ignore[arg-type]


def drawn(activity: Activity) -> str:
    return "\n".join(f"{deed.act} {deed.state}: {came_to(deed)}. {deed.text}".rstrip() for deed in activity.deeds)


def test_acts_are_told_newest_first_with_what_became_of_them(log: AuditLog) -> None:
    carry_out(log, "one", Item("a", ok=True), Item("b", ok=False), text="One of two.")
    log.intend("two", Purge("mail"), plan(412, "Purge mail"))
    log.note("two", [Item("x", ok=True), Item("y", ok=None, text="no answer yet")])
    assert drawn(Activity(log.path).read_all()) == (
        "two running: 2 of 412 tasks.\none done: 1 of 2 tasks, 1 failed. One of two."
    )


def test_nobody_did_anything_where_there_is_no_log(tmp_path: Path) -> None:
    assert Activity(tmp_path / "none").read_all().deeds == []


def test_quarantines_that_were_filled_at_a_broker_are_known(log: AuditLog) -> None:
    log.intend("one", Purge("mail", quarantine="mail.quarantine.1"), plan())
    log.intend("two", Delete("slow", ["t1"], quarantine="slow.quarantine.2"), plan())
    AuditLog(log.path, OTHER).intend("three", Purge("mail", quarantine="mail.quarantine.3"), plan())
    assert filled(log.path, SHOP.broker) == ["mail.quarantine.1", "slow.quarantine.2"]
    assert filled(log.path, SHOP.broker, most=1) == ["slow.quarantine.2"]


def test_it_is_read_on_where_it_grows_and_anew_where_it_is_another_one(log: AuditLog) -> None:
    activity = Activity(log.path)
    carry_out(log, "one", Item("a", ok=True))
    first = activity.read_all().deeds
    log.intend("two", Purge("mail"), plan())
    activity.read_all()
    assert [deed.act for deed in activity.deeds] == ["two", "one"]
    assert activity.deeds[1] is first[0]  # it was not folded again
    log.conclude("two", Outcome(state="stopped", done=0, total=2, text="It was stopped."))
    activity.read_all()
    assert activity.deeds[0].state == "stopped"
    log.path.unlink()
    carry_out(log, "new", Item("a", ok=True))
    assert [deed.act for deed in activity.read_all().deeds] == ["new"]


def test_a_long_log_is_read_in_pieces(log: AuditLog) -> None:
    for number in range(5):
        carry_out(log, f"act {number}", Item("a", ok=True))
    activity, pieces = Activity(log.path), 1
    while activity.read(0.0):
        pieces += 1
    assert pieces > 5
    assert len(activity.deeds) == 5
    assert {deed.state for deed in activity.deeds} == {"done"}


def test_only_the_latest_acts_are_remembered(log: AuditLog) -> None:
    for number in range(8):
        carry_out(log, f"act {number}", Item("a", ok=True))
    activity = Activity(log.path, most=3).read_all()
    assert [deed.act for deed in activity.deeds] == ["act 7", "act 6", "act 5"]


def test_all_of_an_act_is_read_when_it_is_asked_for(log: AuditLog) -> None:
    carry_out(log, "before", Item("z", ok=True))
    items = [Item("a", ok=True, text="w1 said yes"), Item("b", ok=False, text="no answer")]
    log.intend("act", Purge("mail"), plan())
    carry_out(log, "between", Item("y", ok=True))
    log.note("act", items[:1])
    log.note("act", items[1:])
    log.conclude("act", Outcome(state="done", undo=Restore("q")))
    carry_out(log, "after", Item("x", ok=True))
    activity = Activity(log.path).read_all()
    deed = activity.find("act")
    assert deed is not None
    assert deed.undo
    told = story(log.path, deed)
    assert (told.wish, told.items) == (Purge("mail"), items)
    assert told.plan is not None
    assert told.plan.title == "Revoke 2 tasks"
    assert told.outcome is not None
    assert told.outcome.undo == Restore("q")
    assert runs_of(told.lines) == "4, 8–10"


def test_what_was_asked_for_and_not_answered_yet_did_not_fail_and_is_not_asked_for_again(log: AuditLog) -> None:
    log.intend("act", Revoke(["a", "b"]), plan())
    log.note("act", [Item("a", ok=None, text="no answer yet"), Item("b", ok=False)])
    activity = Activity(log.path)
    assert drawn(activity.read_all()) == "act running: 1 of 2 tasks, 1 failed."
    log.conclude("act", Outcome(state="stopped", done=1, failed=1, total=2))
    assert log.unfinished("act")[1] == {"a"}
    log.intend("act", Revoke(["a", "b"]), plan(1), frozenset({"a"}))
    log.note("act", [Item("b", ok=True)])
    log.conclude("act", Outcome(state="done", done=1, total=1))
    assert drawn(activity.read_all()) == "act done: 2 of 2 tasks."
    assert [(item.id, item.ok) for item in story(log.path, activity.deeds[0]).items] == [("a", None), ("b", True)]


def test_an_act_that_is_gone_on_with_is_one_act(log: AuditLog) -> None:
    log.intend("act", Revoke(["a", "b", "c"]), plan(3))
    log.note("act", [Item("a", ok=True), Item("b", ok=False)])
    log.conclude("act", Outcome(state="aborted", done=1, failed=1, total=3))
    activity = Activity(log.path).read_all()
    assert activity.deeds[0].unfinished
    log.intend("act", Revoke(["a", "b", "c"]), plan(2))
    assert drawn(activity.read_all()) == "act running: 1 of 3 tasks."
    log.note("act", [Item("b", ok=True), Item("c", ok=True)])
    log.conclude("act", Outcome(state="done", done=2, total=2, text="All."))
    assert drawn(activity.read_all()) == "act done: 3 of 3 tasks. All."
    assert [(item.id, item.ok) for item in story(log.path, activity.deeds[0]).items] == [
        ("a", True), ("b", True), ("c", True),
    ]  # fmt: skip
    assert not activity.deeds[0].unfinished


def test_acts_are_found_by_the_beginning_of_their_ids(log: AuditLog) -> None:
    for act in ("abc1", "abd2"):
        carry_out(log, act, Item("a", ok=True))
    activity = Activity(log.path).read_all()
    found = activity.find("abc")
    assert found is not None
    assert found.act == "abc1"
    assert activity.find("ab") is None
    assert activity.find("") is None


def test_an_act_is_of_the_broker_that_it_was_done_to_whatever_the_connection_was_called(log: AuditLog) -> None:
    carry_out(log, "one", Item("a", ok=True))
    [deed] = Activity(log.path).read_all().deeds
    assert deed.is_of("shop", "redis://moved/0")
    assert deed.is_of("renamed", "redis://h/0")
    assert not deed.is_of("edr", "redis://edr/0")
    assert not msgspec.structs.replace(deed, broker="").is_of("edr", "")


def _die_while_acting(path: Path) -> None:
    log = AuditLog(path, SHOP)
    log.intend("act", Revoke(["a", "b"]), plan())
    log.note("act", [Item("a", ok=True)])
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_act_whose_process_died_was_broken_off_and_can_be_gone_on_with(log: AuditLog) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_die_while_acting, args=(log.path,))
    process.start()
    process.join()
    activity = Activity(log.path).read_all()
    assert drawn(activity) == "act broken off: 1 of 2 tasks."
    assert activity.deeds[0].unfinished
    assert not [*log.path.parent.glob("*.act")], "what it left goes with the first look"
    log.intend("act", Revoke(["a", "b"]), plan(1))
    assert activity.read_all().deeds[0].state == "running"
    log.conclude("act", Outcome(state="done", done=1, total=1))
    assert drawn(activity.read_all()) == "act done: 2 of 2 tasks."


def test_nobody_goes_on_with_what_another_is_doing(log: AuditLog) -> None:
    log.intend("act", Revoke(["a"]), plan())
    assert under_way(log.path, "act")
    with pytest.raises(AuditError, match="under way already"):
        AuditLog(log.path, SHOP).intend("act", Revoke(["a"]), plan())
    log.conclude("act", Outcome(state="stopped"))
    assert not under_way(log.path, "act")
    again = AuditLog(log.path, SHOP)
    again.intend("act", Revoke(["a"]), plan())
    again.conclude("act", Outcome(state="done"))
    assert sorted(each.suffix for each in log.path.parent.iterdir()) == [".head", ".jsonl", ".lock", ".reserve"]


def test_what_could_not_be_written_down_is_not_under_way(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audit_append, "_write_all", full)
    with pytest.raises(AuditError, match="No space left"):
        log.intend("act", Revoke(["a"]), plan())
    assert not under_way(log.path, "act")


def test_a_name_of_an_act_leads_to_no_other_place(log: AuditLog, tmp_path: Path) -> None:
    log.intend("../../evil", Revoke(["a"]), plan())
    assert [each for each in tmp_path.rglob("*") if each.is_file() and each.parent != log.path.parent] == []
    log.conclude("../../evil", Outcome(state="done"))


# --- export ----------------------------------------------------------------------------------------------------------


def exported(log: AuditLog, format: str, only: str = "") -> tuple[int, str]:  # noqa: A002
    out = io.StringIO(newline="")

    def wanted(deed: Deed) -> bool:
        return deed.connection == only

    number = export(log.path, out, format=format, wanted=wanted if only else None)  # type: ignore[arg-type]
    return number, out.getvalue()


def test_all_lines_are_exported_as_they_are_and_can_be_checked(log: AuditLog, tmp_path: Path) -> None:
    carry_out(log, "one", Item("a", ok=True))
    carry_out(AuditLog(log.path, OTHER), "two", Item("a", ok=True))
    number, text = exported(log, "jsonl")
    assert number == 2
    assert text == log.path.read_text()
    (tmp_path / "copy.jsonl").write_text(text)
    (tmp_path / "copy.jsonl.head").write_bytes(log.path.with_name("audit.jsonl.head").read_bytes())
    assert verify(tmp_path / "copy.jsonl").faults == []


def test_acts_of_one_connection_are_exported(log: AuditLog) -> None:
    carry_out(log, "one", Item("a", ok=True))
    carry_out(AuditLog(log.path, OTHER), "two", Item("a", ok=True))
    number, text = exported(log, "jsonl", "edr")
    assert number == 1
    lines = [msgspec.json.decode(line) for line in text.splitlines()]
    assert [line["kind"] for line in lines] == ["intent", "items", "outcome"]
    assert {line["act"] for line in lines} == {"two"}


def test_a_row_for_each_act_and_no_formula(log: AuditLog) -> None:
    carry_out(log, "one", Item("a", ok=True), title="=cmd|' /C calc'!A0")
    carry_out(log, "two", Item("a", ok=False))
    number, text = exported(log, "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert number == len(rows) == 2
    assert rows[0]["title"] == "'=cmd|' /C calc'!A0"
    assert (rows[1]["state"], rows[1]["done"], rows[1]["failed"]) == ("done", "0", "1")
    assert rows[0]["at"].startswith(time.strftime("%Y-%m-%dT", time.gmtime()))
