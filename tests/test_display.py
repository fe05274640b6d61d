import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import display


@pytest.fixture(autouse=True)
def _a_linux_without_a_display(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(display, "_SOCKETS", str(tmp_path / "X"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def _x_server_3(tmp_path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "X3"))
        listener.listen()
        yield


def test_none_is_set() -> None:
    assert display.why_none() == "DISPLAY and WAYLAND_DISPLAY are not set"


@pytest.mark.usefixtures("_x_server_3")
@pytest.mark.parametrize("name", [":3", ":3.0", "unix:3"])
def test_one_that_answers_is_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DISPLAY", name)
    assert display.why_none() == ""


@pytest.mark.usefixtures("_x_server_3")
@pytest.mark.parametrize("name", [":4", "127.0.0.1:9999"])
def test_one_that_is_gone_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DISPLAY", name)
    assert display.why_none() == f"nothing answers at DISPLAY={name}"


def test_waylands_socket_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert display.why_none() == "nothing answers at WAYLAND_DISPLAY=wayland-0"
    (tmp_path / "wayland-0").touch()
    assert display.why_none() == ""


@pytest.mark.usefixtures("_x_server_3")
def test_a_person_may_want_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":3")
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert display.why_none() == "QT_QPA_PLATFORM=offscreen asks for none"
