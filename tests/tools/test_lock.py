import re
from pathlib import Path

import pytest

from tools.environment import BENCH_LOCK, DEVELOPER_LOCK, RUNTIME_LOCK
from tools.lock import GROUPS, faults, fingerprint
from tools.shell import ROOT

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
WANTED = fingerprint(PYPROJECT)
GOOD = f"# inputs: sha256:{WANTED}\nsix==1.17.0 ; python_version < '4' \\\n    --hash=sha256:{'a' * 64}\n    # via us\n"


@pytest.mark.parametrize("name", GROUPS)
def test_our_lock_is_pinned_hashed_up_to_date_and_holds_no_address(name: str) -> None:
    assert list(faults((ROOT / name).read_text(encoding="utf-8"), WANTED)) == []


def test_the_developers_lock_holds_the_same_versions_as_the_runtime_lock() -> None:
    runtime, developer = (
        {line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if "==" in line}
        for name in (RUNTIME_LOCK, DEVELOPER_LOCK)
    )
    assert runtime < developer


def test_flower_is_in_the_bench_lock_alone_with_our_versions_of_what_both_need() -> None:
    pins = {
        name: dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in GROUPS
    }
    bench, runtime = pins[BENCH_LOCK], pins[RUNTIME_LOCK]
    assert [name for name, found in pins.items() if "flower" in found] == [BENCH_LOCK]
    assert {"celery", "kombu", "redis", "hiredis"} <= bench.keys() & runtime.keys()
    assert {name: bench[name] for name in bench.keys() & runtime.keys()} == {
        name: runtime[name] for name in bench.keys() & runtime.keys()
    }


def test_a_good_lock_has_no_fault() -> None:
    assert list(faults(GOOD, WANTED)) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("six==1.17.0", "no hash: six==1.17.0"),
        ("six>=1.17.0 --hash=sha256:" + "a" * 64, "not pinned to one version: six>=1.17.0"),
        ("six==1.17.0 --hash=md5:" + "a" * 32, "not a sha256 hash: six==1.17.0 --hash=md5:" + "a" * 32),
        ("--index-url somewhere", "line 5 holds an address or a path: --index-url somewhere"),
        ("# made by uv in /home/me/cloche", "line 5 holds an address or a path: # made by uv in /home/me/cloche"),
        ("# from https://example.test/simple", "line 5 holds an address or a path: # from https://example.test/simple"),
        ("# from packages.example.org", "line 5 holds an address or a path: # from packages.example.org"),
    ],
)
def test_a_fault_is_found_and_named(line: str, fault: str) -> None:
    assert fault in faults(GOOD + line + "\n", WANTED)


def test_a_changed_dependency_makes_the_lock_out_of_date() -> None:
    changed = fingerprint(PYPROJECT.replace('"qasync>=', '"qasync>0.1,>='))
    assert list(faults(GOOD, changed)) == ["it was not made from the pyproject.toml of today: run `make lock`"]


def test_a_changed_setting_of_a_tool_leaves_the_lock_up_to_date() -> None:
    assert fingerprint(PYPROJECT.replace("line-length = 120", "line-length = 99")) == WANTED


def test_no_file_of_the_set_up_names_a_registry_or_a_folder_of_some_machine() -> None:
    places = [ROOT / "Makefile", ROOT / ".ci" / "run", ROOT / "pyproject.toml", *Path(ROOT / "tools").glob("*.py")]
    words = ("index-url =", "find-links =", "trusted-host", "/root/", "/home/")
    assert [(place, word) for place in places for word in words if word in place.read_text(encoding="utf-8")] == [
        (ROOT / "tools" / "lock.py", "trusted-host")  # there it is looked for
    ]
