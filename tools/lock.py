"""Makes and checks the lock files: every package that is installed, with its version, its hashes, and no address."""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tools.environment import BENCH_LOCK, DEVELOPER_LOCK, RUNTIME_LOCK
from tools.shell import ROOT, say

GROUPS = {RUNTIME_LOCK: "build", DEVELOPER_LOCK: "dev", BENCH_LOCK: "bench"}
"""What each lock holds beside the program's own dependencies, except for the last, which holds nothing else."""

_ADDRESS = re.compile(
    r"://|--(?:\S*index-url|find-links|trusted-host)|\bfile:|(?:^|\s)/\w|\b[a-z0-9-]+\.(?:org|com|io|net)\b"
)
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==[^\s;]+(?: ; .+)?$")
_HASH = re.compile(r"^--hash=sha256:[0-9a-f]{64}$")


def fingerprint(pyproject: str) -> str:
    """What decides the locks' content. Written into them, it tells without a network whether they are out of date."""
    tables = tomllib.loads(pyproject)
    project = tables["project"]
    relevant = {
        "requires-python": project["requires-python"],
        "dependencies": project["dependencies"],
        "optional-dependencies": project.get("optional-dependencies", {}),
        "groups": tables.get("dependency-groups", {}),
    }
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def faults(text: str, wanted: str) -> Iterator[str]:
    """What is wrong with a lock file, a sentence for each fault; nothing for a good one."""
    if f"# inputs: sha256:{wanted}\n" not in text:
        yield "it was not made from the pyproject.toml of today: run `make lock`"
    for number, line in enumerate(text.splitlines(), start=1):
        if _ADDRESS.search(line):
            yield f"line {number} holds an address or a path: {line.strip()}"
    body = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for entry in body.replace("\\\n", " ").splitlines():
        if not entry.strip():
            continue
        requirement, *hashes = re.split(r"\s+(?=--hash)", entry.strip())
        if not _PINNED.match(requirement):
            yield f"not pinned to one version: {requirement}"
        if not hashes:
            yield f"no hash: {requirement}"
        for each in hashes:
            if not _HASH.match(each):
                yield f"not a sha256 hash: {requirement} {each}"


def check() -> int:
    """Say what is wrong with the locks; 0 if nothing is."""
    wanted = fingerprint((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = [(name, fault) for name in GROUPS for fault in faults((ROOT / name).read_text(encoding="utf-8"), wanted)]
    for name, fault in found:
        say(f"{name}: {fault}")
    return 1 if found else 0


def make(*, upgrade: bool) -> int:
    """Write the locks anew, keeping the versions that are there unless `upgrade`; 0 if all went well."""
    uv = Path(sys.executable).with_name("uv.exe" if sys.platform == "win32" else "uv")
    compiler = str(uv) if uv.exists() else shutil.which("uv")
    if compiler is None:
        say("uv is not installed in .venv. Run `make lock`, which installs it, instead of this module.")
        return 1
    header = (
        "# Made by `make lock` from pyproject.toml; not to be edited. For every system and Python that we support.\n"
        f"# inputs: sha256:{fingerprint((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))}\n"
    )
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_CONFIG": "1", "NO_COLOR": "1"}
    for name, group in GROUPS.items():
        command = [
            *(compiler, "pip", "compile", *([] if name == BENCH_LOCK else ["pyproject.toml"]), "--group", group),
            *("--universal", "--python-version", "3.11", "--python", sys.executable),
            *("--generate-hashes", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--quiet"),
            *("--output-file", name),
            *(["--upgrade"] if upgrade else []),
            *(["--constraint", RUNTIME_LOCK] if name != RUNTIME_LOCK else []),
        ]
        if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
            say(f"uv could not make {name} (its words are above).")
            return 1
        path = ROOT / name
        path.write_text(header + path.read_text(encoding="utf-8"), encoding="utf-8", newline="\n")
        say(f"Wrote {name}")
    return check()


def main() -> int:
    """Run as `python -m tools.lock`."""
    parser = argparse.ArgumentParser(prog="make lock", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is wrong with the lock files")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    options = parser.parse_args()
    return check() if options.check else make(upgrade=options.upgrade)


if __name__ == "__main__":
    sys.exit(main())
