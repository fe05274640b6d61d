"""Files of messages: what was written is read, and what was changed or cut off is told."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.models.backups import About, BackupError, BackupReader, BackupWriter

ABOUT = About("localhost:6379/0", "mail", 1_795_313_248.0)
RAWS = [b"{}", b"", b"\xff" * 70_000, b"\n", b"CLOCHE MESSAGES 1\n"]


def write(path: Path, raws: Sequence[bytes] = RAWS) -> Path:
    with BackupWriter(path, ABOUT) as file:
        file.write(raws[:2])
        file.write(raws[2:])
        file.finish()
    return path


def test_messages_are_read_as_they_were_written_by_their_owner_only(tmp_path: Path) -> None:
    path = write(tmp_path / "mail.bin")
    reader = BackupReader(path)
    assert reader.about == ABOUT
    assert list(reader.messages()) == RAWS
    assert reader.verify() == 5
    assert BackupReader(write(tmp_path / "none.bin", [])).verify() == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mail.bin", "none.bin"]


def test_each_byte_that_is_changed_and_each_that_is_missing_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "mail.bin", [b"one", b"two"])
    whole = path.read_bytes()
    for at in range(len(whole)):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(BackupError, match=r"cut off|changed|not a file"):
                BackupReader(path).verify()
    path.write_bytes(whole + b"\0")
    with pytest.raises(BackupError, match="changed"):
        BackupReader(path).verify()


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(BackupError, match=r"is no file|can't be"):
            BackupReader(tmp_path / name)


def test_a_file_that_is_there_is_not_written_over_even_if_it_came_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "mail.bin"
    path.write_text("another's")
    with pytest.raises(BackupError, match="already"):
        BackupWriter(path, ABOUT)
    path.unlink()
    with BackupWriter(path, ABOUT) as file:
        path.write_text("another's")
        with pytest.raises(BackupError, match="already"):
            file.finish()
    assert path.read_text() == "another's"
    assert [each.name for each in tmp_path.iterdir()] == ["mail.bin"]


def test_where_a_file_system_has_no_links_a_file_gets_its_name_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert BackupReader(write(tmp_path / "mail.bin")).verify() == 5
    with BackupWriter(tmp_path / "other.bin", ABOUT) as file:
        (tmp_path / "other.bin").touch()
        with pytest.raises(BackupError, match="already"):
            file.finish()


def test_a_file_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    with BackupWriter(tmp_path / "mail.bin", ABOUT) as file:
        file.write(RAWS)
    assert list(tmp_path.iterdir()) == []


def test_what_can_t_be_written_or_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackupError, match=r"can't be written to .*No such file"):
        BackupWriter(tmp_path / "gone" / "mail.bin", ABOUT)
    with pytest.raises(BackupError, match="can't be read"):
        BackupReader(tmp_path / "gone.bin")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BackupError, match="No space left"), BackupWriter(tmp_path / "mail.bin", ABOUT) as file:
        file.finish()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mail\0.bin", "\ud800", "", "/"])
def test_what_can_t_be_the_name_of_a_file_is_said(name: str) -> None:
    with pytest.raises(BackupError, match="can't be the name of a file"):
        BackupReader(Path(name))
    with pytest.raises(BackupError, match="can't be the name of a file"):
        BackupWriter(Path(name), ABOUT)
