import io
import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from app.models import audit_chain
from app.models.acts import Item, Outcome, Plan, Purge
from app.models.audit import AuditLog, Subject
from app.models.audit_chain import AuditError, Entry, Verdict, read, verify
from app.models.history.lock import FileLock

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
    honest, head = log.path.read_bytes(), audit_chain.head_file(log.path).read_bytes()
    for place in range(15):
        log.path.write_bytes(b"".join(tamper(honest.splitlines(keepends=True), place)))
        audit_chain.head_file(log.path).write_bytes(head)
        if goes_on:
            log.intend("later", WISH, PLAN)
            log.conclude("later", Outcome(state="done"))
        assert verify(log.path).faults, f"line {place + 1}"


@pytest.mark.parametrize("goes_on", [False, True])
def test_a06_any_changed_byte_is_found(tmp_path: Path, *, goes_on: bool) -> None:
    log = written(tmp_path)
    honest, head = log.path.read_bytes(), audit_chain.head_file(log.path).read_bytes()
    dice = random.Random(7)
    places = dice.sample(range(len(honest)), 200) if goes_on else range(len(honest))
    for place in places:
        other = bytes([honest[place] ^ (1 << dice.randrange(8))])
        log.path.write_bytes(honest[:place] + other + honest[place + 1 :])
        audit_chain.head_file(log.path).write_bytes(head)
        if goes_on:
            log.conclude("later", Outcome(state="done"))
        assert verify(log.path).faults, f"byte {place}"


def test_a06_any_byte_that_was_taken_out_or_put_in_is_found(tmp_path: Path) -> None:
    log = written(tmp_path, 2)
    honest = log.path.read_bytes()
    for place in range(len(honest) - 1):  # without the end of its last line it says the same
        log.path.write_bytes(honest[:place] + honest[place + 1 :])
        assert verify(log.path).faults, f"without byte {place}"
        for byte in (b"\n", b" ", b"0"):
            if honest[place : place + 1] != byte:
                log.path.write_bytes(honest[:place] + byte + honest[place:])
                assert verify(log.path).faults, f"{byte!r} before byte {place}"


def test_a06_a_changed_head_is_found(tmp_path: Path) -> None:
    log = written(tmp_path, 2)
    place = audit_chain.head_file(log.path)
    head = place.read_bytes()
    for at in range(len(head)):
        for bit in range(8):
            place.write_bytes(head[:at] + bytes([head[at] ^ (1 << bit)]) + head[at + 1 :])
            if audit_chain.read_head(log.path) != audit_chain.Head(6, _digest_of_last(log)):
                assert verify(log.path).faults, f"byte {at}"


def _digest_of_last(log: AuditLog) -> str:
    return audit_chain.digest(log.path.read_bytes().splitlines()[-1])


def test_a06_what_a_crash_left_can_be_neither_changed_nor_taken_out_once_a_line_follows(tmp_path: Path) -> None:
    log = written(tmp_path, 1)
    torn = b'{"number":4,"previous":"'
    log.path.write_bytes(log.path.read_bytes() + torn)
    log.intend("later", WISH, PLAN)
    honest = log.path.read_bytes()
    assert verify(log.path) == Verdict(5, [])
    for other in (
        honest.replace(torn + b"\n", b""),
        honest.replace(torn, torn[:-1]),
        honest.replace(torn, b"x\n" + torn),
    ):
        assert other != honest
        log.path.write_bytes(other)
        assert verify(log.path).faults


def test_a06_an_older_state_of_both_files_is_not_told_from_the_truth(tmp_path: Path) -> None:
    """A limit, which the documentation names: what was exported to somewhere else tells."""
    log = written(tmp_path, 2)
    older = {path: path.read_bytes() for path in (log.path, audit_chain.head_file(log.path))}
    log.intend("to be forgotten", WISH, PLAN)
    for path, data in older.items():
        path.write_bytes(data)
    assert verify(log.path) == Verdict(6, [])


def test_a06_that_the_head_was_taken_away_is_found_also_after_more_was_written(tmp_path: Path) -> None:
    log = written(tmp_path)
    audit_chain.head_file(log.path).unlink()
    assert "missing" in verify(log.path).faults[0]
    log.intend("later", WISH, PLAN)
    assert "does not follow" in verify(log.path).faults[0]


def test_a_line_that_a_crash_tore_is_no_fault_and_costs_no_other(tmp_path: Path) -> None:
    log = written(tmp_path, 2)
    whole, head = log.path.read_bytes(), audit_chain.head_file(log.path).read_bytes()
    log.intend("torn", WISH, PLAN)
    line = log.path.read_bytes()[len(whole) :]
    for cut in range(1, len(line)):
        log.path.write_bytes(whole + line[:cut])
        audit_chain.head_file(log.path).write_bytes(head)
        assert verify(log.path).faults == []
        log.conclude("later", Outcome(state="done"))
        assert verify(log.path) == Verdict(8, []), cut
        # What lacks nothing but the end of its line is a line.
        left = "torn" if cut < len(line) - 1 else "intent"
        assert [entry.kind for entry in entries(log)][-2:] == [left, "outcome"]


def test_crash_upon_crash_is_no_fault(tmp_path: Path) -> None:
    log = written(tmp_path, 1)
    path, head = log.path, audit_chain.head_file(log.path)
    first = path.read_bytes() + b'{"number":4,"prev'
    path.write_bytes(first)
    before = head.read_bytes()
    log.intend("again", WISH, PLAN)
    second = path.read_bytes()[len(first) :]
    for cut in range(1, len(second)):
        path.write_bytes(first + second[:cut])
        head.write_bytes(before)
        assert verify(path).faults == [], cut
        log.conclude("later", Outcome(state="done"))
        assert verify(path).faults == [], cut
        assert entries(log)[-1].kind == "outcome"


#: What changes something on the disk while a line is written.
CALLS = ("open", "write", "fsync", "ftruncate", "close", "replace", "unlink")


def _killed_at(call: int, deed: Callable[[], None]) -> bool:
    """Do something in a process of its own that is killed before its n-th system call; whether it was."""
    child = os.fork()
    if child == 0:
        left = [call]

        def counted(name: str) -> Callable[..., object]:
            real = getattr(os, name)

            def told(*words: object, **more: object) -> object:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*words, **more)

            return told

        for name in CALLS:
            setattr(os, name, counted(name))
        deed()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills are tried where processes fork")
@pytest.mark.parametrize("before", [0, 2])
def test_a06_who_is_killed_between_any_two_system_calls_leaves_a_log_that_verifies(tmp_path: Path, before: int) -> None:
    killed = 0
    for call in range(1, 100):
        log = written(tmp_path / str(call), before)
        log.path.parent.mkdir(exist_ok=True)
        known = entries(log)

        def deed() -> None:
            written(log.path.parent, 1)  # noqa: B023

        if not _killed_at(call, deed):
            break
        killed += 1
        assert verify(log.path).faults == [], f"before call {call}"
        found = entries(log)
        assert found[: len(known)] == known
        assert [entry.kind for entry in found[len(known) :]] == ["intent", "items", "outcome"][
            : len(found) - len(known)
        ]
        log.intend("after it", WISH, PLAN)
        assert verify(log.path).faults == [], f"and once more was written, before call {call}"
        assert entries(log)[:-1] == found
    assert killed > 30


def test_a_clock_that_goes_back_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = written(tmp_path, 1)
    for now in (1e9, 5e8, 0.0):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        log.intend(f"at {now}", WISH, PLAN)
    assert verify(log.path) == Verdict(6, [])
    assert [entry.at for entry in entries(log)][3:] == [1e9, 5e8, 0.0]


def test_an_act_is_not_gone_on_with_by_a_plan_that_knows_less_than_was_done(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", SUBJECT)
    log.intend("act", WISH, PLAN)
    log.note("act", [Item("a", ok=True)])
    log.conclude("act", Outcome(state="stopped"))
    _, one = log.unfinished("act")
    _, other = log.unfinished("act")
    log.intend("act", WISH, PLAN, one)
    log.note("act", [Item("b", ok=True)])
    log.conclude("act", Outcome(state="stopped"))
    with pytest.raises(AuditError, match=r"More was done of it since"):
        log.intend("act", WISH, PLAN, other)
    _, now = log.unfinished("act")
    assert now == {"a", "b"}
    log.intend("act", WISH, PLAN, now)
    log.conclude("act", Outcome(state="done"))
    with pytest.raises(AuditError, match=r"More was done of it since"):
        log.intend("act", WISH, PLAN, now)


def test_a_lock_whose_file_was_removed_is_none(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    late = FileLock(place)
    place.unlink()
    fresh = FileLock(place)
    assert fresh.acquire()
    assert not late.acquire()
    fresh.release()


def test_a_crash_before_the_head_was_written_is_no_fault(tmp_path: Path) -> None:
    for acts in (0, 2):
        folder = tmp_path / str(acts)
        log = written(folder, acts)
        head = audit_chain.head_file(log.path)
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
    assert verify(path) == Verdict(60, [])
    assert len({entry.act for entry, _ in read(path)}) == 60


def test_what_can_t_be_written_is_said_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(AuditError, match=r"audit\.jsonl can't be written: Is a directory"):
        AuditLog(tmp_path / "audit.jsonl", SUBJECT).intend("a", WISH, PLAN)


@pytest.mark.skipif(os.name != "posix", reason="there are no such pipes")
@pytest.mark.parametrize("name", ["", ".head", ".head.new", ".reserve"])
def test_a_pipe_in_the_place_of_a_file_is_said_and_not_waited_for(tmp_path: Path, name: str) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", SUBJECT)
    os.mkfifo(tmp_path / f"audit.jsonl{name}")
    worker = multiprocessing.get_context("fork").Process(target=_refused, args=(log,))
    worker.start()
    worker.join(20)
    hangs = worker.is_alive()
    worker.kill()
    worker.join()
    assert (hangs, worker.exitcode) == (False, 0)


def _refused(log: AuditLog) -> None:
    with pytest.raises(AuditError, match="can't be"):
        log.intend("a", WISH, PLAN)
    with suppress(AuditError):
        verify(log.path)


def test_a_line_that_never_ends_costs_no_more_than_it_is_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = written(tmp_path, 1)
    with log.path.open("ab") as file:
        file.write(b"x" * (4 << 20))
    sizes: list[int] = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            sizes.append(size or 0)
            return super().read(size)

    with monkeypatch.context() as patch:
        patch.setattr(audit_chain, "_opened", lambda path: Counting(path.read_bytes()))
        lines = list(audit_chain._backwards(log.path))
    assert b"".join(reversed(lines)) == log.path.read_bytes()
    assert len(sizes) < 20
    log.note("act 0", [Item("c", ok=True)])
    assert verify(log.path).faults == []


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
