"""Keeps the fleet's processes: forks them from one process that has loaded Celery, kills and revives them."""

import contextlib
import functools
import gc
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import NoReturn

from billiard.util import get_pdeathsig
from celery.signals import worker_process_init

import app.demo.preload  # noqa: F401
from app.demo.roles import Role

LOOK_SECONDS = 1.0
REVIVE_SECONDS = 3.0
OWNER = 0


@dataclass(slots=True)
class Post:
    """A role and the process that fills it; at `due` (monotonic) it is killed or, with no process, filled again."""

    role: Role
    pid: int = 0
    due: float = 0.0


class Keeper:
    """Fills every role with a process, and ends them all when its standard input ends: only the owner holds that pipe.

    Each process leads a process group of its own, which its pool children belong to. Each reads a second pipe, the
    lifeline, that only the keeper can write to: should even the keeper be killed, they kill themselves. And all of
    them hold our standard output open without writing to it, so the owner knows the last one is gone when it ends.
    """

    def __init__(self, roles: Iterable[Role]) -> None:
        self._posts = [Post(role) for role in roles]
        self._lifeline, self._life = os.pipe()

    def keep(self) -> None:
        """Run until the owner is gone or ends us by SIGTERM; afterwards no process is left."""
        os.dup(sys.stdout.fileno())
        silence(sys.stdout.fileno(), os.O_WRONLY)
        signal.signal(signal.SIGTERM, leave)
        # Every pool child asks for its parent's death signal; the first time cffi loads a C parser for that.
        with contextlib.suppress(OSError):
            get_pdeathsig()
        gc.freeze()
        try:
            wait = 0.0
            while not select.select([OWNER], [], [], wait)[0]:
                for post in self._posts:
                    self._look_after(post)
                wait = LOOK_SECONDS
        finally:
            for post in self._posts:
                end(post)

    def _look_after(self, post: Post) -> None:
        now = time.monotonic()
        outage = post.role.outage
        if post.pid and os.waitpid(post.pid, os.WNOHANG)[0]:
            kill_group(post.pid)
            post.pid, post.due = 0, now + REVIVE_SECONDS
        elif post.pid and outage and now >= post.due:
            end(post)
            post.due = now + outage.away
        elif not post.pid and now >= post.due:
            again = post.due > 0
            post.pid = self._fork(post.role)
            post.due = now + (outage.every if again else outage.first) if outage else inf

    def _fork(self, role: Role) -> int:
        pid = os.fork()
        if not pid:
            self._fill(role)
        # Both sides do it: whoever comes first, no signal to the group can miss.
        with contextlib.suppress(ProcessLookupError):
            os.setpgid(pid, pid)
        return pid

    def _fill(self, role: Role) -> NoReturn:
        code = 1
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.close(self._life)
            silence(OWNER, os.O_RDONLY)
            follow = functools.partial(follow_in_death, self._lifeline)
            follow()
            worker_process_init.connect(follow, weak=False)
            role.run()
            code = 0
        finally:
            # Never back into the keeper's own frames, whose cleaning up would end our siblings.
            if code:
                traceback.print_exc()
            os._exit(code)


def follow_in_death(lifeline: int, **_: object) -> None:
    """Have this process and its group killed once nobody can write to `lifeline` any more."""

    def follow() -> None:
        os.read(lifeline, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=follow, name="lifeline", daemon=True).start()


def end(post: Post) -> None:
    """Kill a post's process with all its children and bury it."""
    if post.pid:
        kill_group(post.pid)
        os.waitpid(post.pid, 0)
        post.pid = 0


def kill_group(leader: int) -> None:
    """Kill a process group, of which nobody may be left; macOS says "not permitted" where only zombies are."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def silence(descriptor: int, mode: int) -> None:
    """Put the null device in the place of a descriptor."""
    null = os.open(os.devnull, mode)
    os.dup2(null, descriptor)
    os.close(null)


def leave(_number: int, _frame: object) -> NoReturn:
    """The handler of SIGTERM: go, by way of every `finally`."""
    sys.exit(0)
