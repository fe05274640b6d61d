import os
import shutil
import subprocess

import pytest

from tools import system
from tools.shell import Trouble, run_quietly
from tools.system import Need

THERE = Need("libc.so.6", "libc6", "glibc")
ABSENT = Need("libnothing.so.9", "libnothing9", "nothing")
SERVER = Need("nothing-server", "nothing-server", "nothing", kind="program")


@pytest.fixture
def managers(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The package managers (and sudo) of a made-up machine where we are nobody special."""
    present: set[str] = set()
    really = shutil.which

    def which(name: str, path: str | None = None) -> str | None:
        names = {"apt-get", "dnf", "zypper", "yum", "pacman", "brew", "sudo"}
        return (f"/made-up/{name}" if name in present else None) if name in names else really(name, path=path)

    monkeypatch.setattr(shutil, "which", which)
    monkeypatch.setattr(system, "_root_prefix", lambda: None)
    return present


def test_a_library_that_is_there_is_not_missed() -> None:
    assert system.missing([THERE, ABSENT, SERVER]) == [ABSENT, SERVER]


@pytest.mark.parametrize("need", system.QT_LIBRARIES, ids=lambda need: str(need.name))
def test_the_tests_have_every_library_that_qt_needs(need: Need) -> None:
    assert need.is_met()


def test_nothing_is_asked_of_the_system_when_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_root_prefix", lambda: pytest.fail("asked"))
    system.provide([THERE], "make demo")


@pytest.mark.parametrize(
    ("present", "command"),
    [
        (
            {"apt-get", "sudo"},
            "sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends libnothing9 nothing-server'",
        ),
        (
            {"apt-get"},
            "su -c 'apt-get update && apt-get install -y --no-install-recommends libnothing9 nothing-server'",
        ),
        ({"dnf", "sudo"}, "sudo dnf install 'libnothing.so.9()(64bit)' nothing-server"),
        ({"pacman", "sudo"}, "sudo pacman -S --needed nothing"),
    ],
)
def test_without_root_it_says_what_is_missing_and_the_one_command(
    managers: set[str], present: set[str], command: str
) -> None:
    managers |= present
    with pytest.raises(Trouble) as trouble:
        system.provide([THERE, ABSENT, SERVER], "make demo")
    assert str(trouble.value) == (
        "This machine lacks libnothing.so.9, nothing-server. Install them with\n\n"
        f"    {command}\n\n"
        "and run `make demo` again."
    )


def test_with_root_the_packages_are_installed_by_apt(managers: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    managers.add("apt-get")
    ran: list[list[str]] = []

    def pretend(command: list[str]) -> subprocess.CompletedProcess[str]:
        if command[0] == "apt-cache":
            return run_quietly(command)
        ran.append(command)
        return subprocess.CompletedProcess(command, 100, stdout="E: no such package\n")

    monkeypatch.setattr(system, "_root_prefix", list)
    monkeypatch.setattr(system, "run_quietly", pretend)
    with pytest.raises(Trouble, match=r"apt-get could not install libnothing9 .* run `make demo` again\."):
        system.provide([ABSENT], "make demo")
    assert [(*command[:2], command[-1]) for command in ran] == [("sh", "-c", "libnothing9")]


def test_a_library_that_was_renamed_is_asked_for_by_its_name_in_this_release(monkeypatch: pytest.MonkeyPatch) -> None:
    def pretend(_: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, stdout="libglib2.0-0t64\nlibglib2.0-0-other\n")

    monkeypatch.setattr(system, "run_quietly", pretend)
    assert "libglib2.0-0t64" in system.installing_command([Need("libglib-2.0.so.0", "libglib2.0-0", "glib2")])


@pytest.mark.parametrize(
    ("variables", "needed"),
    [
        ({}, ()),
        ({"DISPLAY": ":0"}, system.X11_LIBRARIES),
        ({"WAYLAND_DISPLAY": "wayland-0"}, system.WAYLAND_LIBRARIES),
        ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "w"}, system.X11_LIBRARIES + system.WAYLAND_LIBRARIES),
    ],
)
def test_the_kind_of_display_decides_which_libraries_are_needed(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], needed: tuple[Need, ...]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert system.display_libraries() == needed


def test_a_server_is_found_where_only_root_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_PROGRAM_FOLDERS", (os.path.dirname(shutil.which("sh") or ""),))  # noqa: PTH120
    monkeypatch.setenv("PATH", "")
    assert system.find_program("sh")
