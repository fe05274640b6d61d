"""The whole program on this machine: fleet, collectors, history, window, pictures. The built program runs the same."""

import subprocess
from pathlib import Path

from app.paths import self_command


def test_the_selftest_passes_and_draws_every_page(tmp_path: Path) -> None:
    done = subprocess.run(
        self_command("selftest", "--shots", str(tmp_path)), capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok: ")
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{scope}{page}-{theme}-{size}.png"
        for scope in ("", "all-")
        for page in ("overview", "tasks", "workers", "queues", "activity")
        for theme in ("dark", "light")
        for size in ("1440x900", "1024x700")
    }
