import multiprocessing
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from app.models import audit
from app.models.acts import Item, Outcome, Plan, Purge
from app.models.audit import AuditError, AuditLog, Entry, Subject, read, verify

SUBJECT = Subject("shop", "redis://h/0", "staging")
WISH = Purge("mail")
PLAN = Plan(title="Purge", verb="Purge", count=2, things="message")


def written(folder: Path, acts: int = 5) -> AuditLog:
    log = AuditLog(folder / "audit.jsonl", SUBJECT)
    for number in range(acts):
        log.intend(f"act {number}", WISH, PLAN)
        log.note(f"act {number}", [Item("a", ok=True), Item("b", ok=False, text="gone")])
        log.conclude(f"act {number}", Outcome(state="done", done=1, failed=1, total=2, text="One of two."))
    return log


def entries(log: AuditLog) -> list[Entry]:
    return [entry for entry, _ in read(log.path)]


def test_what_is_intended_and_what_became_of_it_is_read_again(tmp_path: Path) -> None:
    log = written(tmp_path, 1)
    intent, items, outcome = entries(log)
    assert (intent.kind, intent.wish, intent.plan, intent.connection) == ("intent", WISH, PLAN, "shop")
    assert intent.who
    assert intent.where
    assert items.items == [Item("a", ok=True), Item("b", ok=False, text="gone")]
    assert outcome.outcome is not None
    assert outcome.outcome.text == "One of two."
    assert {each.act for each in (intent, items, outcome)} == {"act 0"}
    assert [entry.number for entry, _ in read(log.path, next(at for _, at in read(log.path)))] == [2, 3]


def test_the_log_of_an_honest_user_verifies(tmp_path: Path) -> None:
    assert verify(tmp_path / "none").faults == []
    verdict = verify(written(tmp_path).path)
    assert (verdict.lines, verdict.faults) == (15, [])


def test_only_its_user_may_read_it(tmp_path: Path) -> None:
    log = written(tmp_path / "new")
    assert {each.stat().st_mode & 0o077 for each in log.path.parent.iterdir()} == {0}
    assert log.path.parent.stat().st_mode & 0o077 == 0


def _deleted(lines: list[bytes], place: int) -> list[bytes]:
    return lines[:place] + lines[place + 1 :]


def _modified(lines: list[bytes], place: int) -> list[bytes]:
    return [line.replace(b'"act ', b'"Act ') if at == place else line for at, line in enumerate(lines)]


def _damaged(lines: list[bytes], place: int) -> list[bytes]:
    return [line[: len(line) // 2] + b"\n" if at == place else line for at, line in enumerate(lines)]


def _cut_off(lines: list[bytes], place: int) -> list[bytes]:
    return lines[:place]


def _doubled(lines: list[bytes], place: int) -> list[bytes]:
    return [*lines[:place], lines[place], *lines[place:]]


def _reordered(lines: list[bytes], place: int) -> list[bytes]:
    other = (place + 1) % len(lines)
    moved = list(lines)
    moved[place], moved[other] = moved[other], moved[place]
    return moved


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("tamper", [_deleted, _modified, _damaged, _cut_off, _doubled, _reordered])
def test_a06_whatever_line_is_changed_moved_or_taken_out_that_is_found_also_after_more_was_written(
    tmp_path: Path, tamper: Callable[[list[bytes], int], list[bytes]], *, goes_on: bool
) -> None:
    log = written(tmp_path)
    honest, head = log.path.read_bytes(), audit._head_file(log.path).read_bytes()
    for place in range(15):
        log.path.write_bytes(b"".join(tamper(honest.splitlines(keepends=True), place)))
        audit._head_file(log.path).write_bytes(head)
        if goes_on:
            log.intend("later", WISH, PLAN)
            log.conclude("later", Outcome(state="done"))
        assert verify(log.path).faults, f"line {place + 1}"


@pytest.mark.parametrize("goes_on", [False, True])
def test_a06_any_changed_byte_is_found(tmp_path: Path, *, goes_on: bool) -> None:
    log = written(tmp_path)
    honest, head = log.path.read_bytes(), audit._head_file(log.path).read_bytes()
    dice = random.Random(7)
    for _ in range(200):
        place = dice.randrange(len(honest))
        other = bytes([honest[place] ^ (1 << dice.randrange(8))])
        log.path.write_bytes(honest[:place] + other + honest[place + 1 :])
        audit._head_file(log.path).write_bytes(head)
        if goes_on:
            log.conclude("later", Outcome(state="done"))
        assert verify(log.path).faults, f"byte {place}"


def test_a06_that_the_head_was_taken_away_is_found_also_after_more_was_written(tmp_path: Path) -> None:
    log = written(tmp_path)
    audit._head_file(log.path).unlink()
    assert "missing" in verify(log.path).faults[0]
    log.intend("later", WISH, PLAN)
    assert "does not follow" in verify(log.path).faults[0]


def test_a_line_that_a_crash_tore_is_no_fault_and_costs_no_other(tmp_path: Path) -> None:
    log = written(tmp_path, 2)
    whole, head = log.path.read_bytes(), audit._head_file(log.path).read_bytes()
    log.intend("torn", WISH, PLAN)
    line = log.path.read_bytes()[len(whole) :]
    for cut in range(1, len(line), 7):
        log.path.write_bytes(whole + line[:cut])
        audit._head_file(log.path).write_bytes(head)
        assert verify(log.path).faults == []
        log.conclude("later", Outcome(state="done"))
        assert verify(log.path) == audit.Verdict(8, []), cut
        assert [entry.kind for entry in entries(log)][-2:] == ["torn", "outcome"]


def test_a_crash_before_the_head_was_written_is_no_fault(tmp_path: Path) -> None:
    for acts in (0, 2):
        folder = tmp_path / str(acts)
        log = written(folder, acts)
        head = audit._head_file(log.path)
        before = head.read_bytes() if acts else b""
        log.intend("late", WISH, PLAN)
        head.write_bytes(before) if acts else head.unlink()
        log.conclude("late", Outcome(state="done"))
        assert verify(log.path).faults == []


def _write(path: Path, mark: str) -> None:
    log = AuditLog(path, SUBJECT)
    for number in range(20):
        log.intend(f"{mark} {number}", WISH, PLAN)


def test_several_collectors_write_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(path, mark)) for mark in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert verify(path) == audit.Verdict(60, [])
    assert len({entry.act for entry, _ in read(path)}) == 60


def test_what_can_t_be_written_is_said_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(AuditError, match=r"audit\.jsonl can't be written: Is a directory"):
        AuditLog(tmp_path / "audit.jsonl", SUBJECT).intend("a", WISH, PLAN)


# --- a full disk -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for a few lines, and for what is kept free."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(folder: Path) -> Path:
    """Write until there is no room for another byte."""
    place = folder / "other people's"
    with place.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    return place


def test_a06_on_a_full_disk_nothing_is_intended_and_the_log_is_as_it_was(small: Path) -> None:
    log = written(small, 2)
    before = log.path.read_bytes()
    others = fill_up(small)
    while True:
        # What was begun may still be told, as long as there is room; no more than that is begun.
        with suppress(AuditError):
            log.intend("a", WISH, PLAN)
            log.conclude("a", Outcome(state="done"))
            continue
        break
    with pytest.raises(AuditError, match=r"can't be written: No space left on device"):
        log.intend("b", WISH, PLAN)
    assert log.path.read_bytes().startswith(before)
    assert verify(log.path).faults == []
    others.unlink()
    log.intend("c", WISH, PLAN)
    assert verify(log.path).faults == []
    assert entries(log)[-1].act == "c"


def test_a06_what_was_begun_is_told_though_the_disk_filled_up_meanwhile(small: Path) -> None:
    log = written(small, 2)
    log.intend("begun", WISH, PLAN)
    fill_up(small)
    for number in range(20):
        log.note("begun", [Item(f"{number}", ok=True, text="sent as 6f1c0d2e-0000-4000-8000-000000000000")] * 20)
    log.conclude("begun", Outcome(state="done", done=400, total=400, text="All of it."))
    assert [entry.kind for entry in entries(log)][-22:] == ["intent", *["items"] * 20, "outcome"]
    assert verify(log.path).faults == []
