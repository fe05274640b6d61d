import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app import display
from tools import dev, environment, system
from tools.shell import ROOT, Trouble


def run_dev(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "dev.py"), *words]
    return subprocess.run(command, check=False, capture_output=True, encoding="utf-8")


class Became(Exception):
    """What a command would have handed over to."""


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is installed, and a command that hands over raises instead what it would have become."""

    def pretend(command: list[Path | str], env: dict[str, str] | None = None) -> None:
        platform = (env or os.environ).get("QT_QPA_PLATFORM", "")
        raise Became(" ".join([Path(command[0]).name, *map(str, command[1:])]), platform)

    monkeypatch.setattr(environment, "prepare", lambda *_: None)
    monkeypatch.setattr(environment, "prepare_flower", lambda _: None)
    monkeypatch.setattr(dev, "become", pretend)
    monkeypatch.delenv("QT_QPA_PLATFORM")


def test_without_a_word_it_shows_the_table_of_commands() -> None:
    shown = run_dev()
    assert shown.returncode == 0
    assert re.findall(r"^  ([a-z-]+)", shown.stdout, re.MULTILINE) == [command.name for command in dev.COMMANDS]


def test_an_unknown_command_fails_with_the_table() -> None:
    shown = run_dev("dome")
    assert shown.returncode == 2
    assert "demo" in shown.stdout


def test_the_makefile_offers_the_same_commands() -> None:
    targets = re.search(r"^help (.*):$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets
    assert targets[1].split() == [command.name for command in dev.COMMANDS]


def test_a_trouble_is_told_as_a_sentence_and_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Trouble("It rains. Take an umbrella.")

    monkeypatch.setattr(environment, "prepare", fail)
    assert dev.main(["demo"]) == 1
    assert capsys.readouterr().err == "\nIt rains. Take an umbrella.\n"


@pytest.mark.usefixtures("handed_over")
def test_the_demo_without_a_display_runs_offscreen_says_so_and_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "why_none", lambda: "nobody looks")
    with pytest.raises(Became) as became:
        dev.demo([])
    shots = Path("build") / "demo"
    assert became.value.args == (f"cloche demo --for 30s --shots {shots}", "offscreen")
    assert "No display here: nobody looks." in capsys.readouterr().out


@pytest.mark.usefixtures("handed_over")
def test_the_demo_with_a_display_opens_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "why_none", str)
    with pytest.raises(Became) as became:
        dev.demo([])
    assert became.value.args == ("cloche demo", "")


@pytest.mark.usefixtures("handed_over")
def test_more_words_are_the_programs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "why_none", str)
    monkeypatch.setattr(dev, "servers", lambda _: None)
    with pytest.raises(Became) as demo:
        dev.demo(["--for", "5s"])
    with pytest.raises(Became) as test:
        dev.test(["-k", "search"])
    with pytest.raises(Became) as bench:
        dev.bench(["soak", "--seconds", "600"])
    assert demo.value.args[0] == "cloche demo --for 5s"
    assert test.value.args[0] == "python -m pytest -k search"
    assert bench.value.args[0] == "python -m tests.bench.run soak --seconds 600"


@pytest.mark.usefixtures("handed_over")
def test_the_bench_beside_flower_is_told_which_python_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "servers", lambda _: None)
    with pytest.raises(Became) as became:
        dev.bench_flower(["--runs", "1"])
    python = environment.program("python", environment.FLOWER_VENV)
    assert became.value.args[0] == f"python -m tests.bench.beside_flower --flower {python} --runs 1"


@pytest.mark.parametrize("ci", [False, True])
def test_servers_that_cannot_be_installed_are_a_trouble_in_ci_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, ci: bool
) -> None:
    def fail(*_: object) -> None:
        raise Trouble("This machine lacks rabbitmq-server.")

    monkeypatch.setattr(system, "missing", lambda _: [object()])
    monkeypatch.setattr(system, "provide", fail)
    monkeypatch.setenv("CI", "true" if ci else "")
    if ci:
        with pytest.raises(Trouble):
            dev.servers("make test")
    else:
        dev.servers("make test")
        assert capsys.readouterr().out.startswith("This machine lacks rabbitmq-server.\nUntil then")


def test_a_set_up_that_is_done_is_not_done_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "VENV", tmp_path)
    monkeypatch.setattr(environment, "_STAMP", tmp_path / "stamp")
    python = environment.program("python")
    python.parent.mkdir()
    python.touch()
    (tmp_path / "stamp").write_text(json.dumps(environment._fingerprint(environment.DEVELOPER_LOCK)), encoding="utf-8")
    monkeypatch.setattr(environment, "_install", lambda *_: pytest.fail("installed again"))
    environment.prepare(environment.DEVELOPER_LOCK, "make test")
    environment.prepare(environment.RUNTIME_LOCK, "make demo")


def test_flower_is_installed_once_for_each_lock_and_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    steps: list[str] = []
    venv = tmp_path / ".venv-flower"

    def make(folder: Path, python: list[str], _: str) -> None:
        assert python == [str(environment.program("python"))]
        folder.mkdir(exist_ok=True)
        steps.append("made")

    def prepare(lock: str, place: str) -> list[str]:
        steps.clear()
        root = tmp_path / place
        root.mkdir(exist_ok=True)
        (root / environment.BENCH_LOCK).write_text(lock, encoding="utf-8")
        monkeypatch.setattr(environment, "ROOT", root)
        environment.prepare_flower("make bench-flower")
        return [*steps]

    monkeypatch.setattr(environment, "FLOWER_VENV", venv)
    monkeypatch.setattr(environment, "_make", make)
    monkeypatch.setattr(environment, "_install_lock", lambda folder, lock, _: steps.append(f"{lock} in {folder.name}"))
    done = ["made", "requirements-bench.lock in .venv-flower"]
    assert prepare("flower==2.2.0", "here") == done
    assert prepare("flower==2.2.0", "here") == []
    assert prepare("flower==2.3.0", "here") == done
    assert prepare("flower==2.3.0", "there") == done


def test_an_environment_that_is_a_link_is_made_beside_what_it_leads_to(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / ".venv"
    theirs.mkdir()
    (theirs / "kept").touch()
    ours.symlink_to(theirs)
    environment._make(ours, [sys.executable], "make demo")
    assert (theirs / "kept").exists()
    assert (ours / "pyvenv.cfg").exists()
    assert not ours.is_symlink()


def test_a_python_that_is_too_old_is_told_which_ones_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 2, "final", 0))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Trouble, match=r"runs on Python 3\.11, 3\.12 and 3\.13"):
        environment.find_python("make demo")


def test_a_command_ends_with_the_exit_code_of_what_it_became() -> None:
    code = f"from tools.shell import become; become([{sys.executable!r}, '-c', 'raise SystemExit(7)'])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 7


def test_only_what_is_installed_is_a_reason_to_install_again() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    part = environment._installed_part(pyproject)
    assert environment._installed_part(pyproject.replace("line-length = 120", "line-length = 99")) == part
    assert environment._installed_part(pyproject.replace("app.__main__:main", "app.main:main")) != part


def test_an_environment_that_was_moved_is_made_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "_STAMP", tmp_path / "stamp")
    assert environment._is_usable()
    (tmp_path / "stamp").write_text('{"place": "elsewhere"}', encoding="utf-8")
    assert not environment._is_usable()
