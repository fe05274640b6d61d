"""What wakes a collector's loop: nothing that rings it is missed, not even a signal in the middle of it."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from app.collectors.bell import Bell
from tests.helpers.celery_apps import ROOT

#: Signals come every 2 ms while the main thread does nothing but wait; `threading.Event` hangs within a second of it.
_RUNG_BY_SIGNALS = """
import signal, time
from app.collectors.bell import Bell
bell, rung = Bell(), 0
def ring(_number, _frame):
    global rung
    rung += 1
    bell.ring()
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
while rung < 1_000:
    bell.wait(0.00001)
signal.setitimer(signal.ITIMER_REAL, 0)
print("done")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no such signals")
def test_a_signal_may_ring_it_at_any_moment() -> None:
    command = [sys.executable, "-c", _RUNG_BY_SIGNALS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr


def test_a_ring_before_the_wait_is_not_missed_and_counts_once() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    began = time.monotonic()
    bell.wait(60)
    assert time.monotonic() - began < 30
    began = time.monotonic()
    bell.wait(0.05)
    assert time.monotonic() - began >= 0.05


def test_it_wakes_another_thread() -> None:
    bell, woken = Bell(), threading.Event()

    def sleep() -> None:
        bell.wait(60)
        woken.set()

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    bell.ring()
    assert woken.wait(30)
    sleeper.join()


@pytest.mark.parametrize("seconds", [0.0, -5.0])
def test_no_time_is_no_wait(seconds: float) -> None:
    Bell().wait(seconds)
