"""A03: whatever dies while messages are moved in a Redis, none is lost or doubled, and it can be gone on with.

The process that acts is killed before and after each thing that it writes, to the broker or to the audit log, and at
moments that nobody chose; and the link to the broker breaks before and after each script. In the suite that is some
points of each deed; all of them, and many moments:

    python -m tests.features.test_kill_points --moments 100
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import redis.connection
from redis import Redis

from app.collectors import redis_vault
from app.collectors.acts.act import Impossible
from app.collectors.publisher import SENT
from app.collectors.redis_filler import RedisFiller
from app.collectors.redis_vault import RedisVault
from app.collectors.transport import PRIORITY_SEPARATOR as SEPARATOR
from app.collectors.transport import PRIORITY_STEPS
from app.models import audit_append
from app.models.acts import Delete, Discard, Move, Purge, Restore, RestoreFile, Wish
from tests.helpers.acting import Actor, execute
from tests.helpers.messages import fill, ids_of, lists_of
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import HOST, RedisServer

QUARANTINE: Final = "mail.quarantine.20261122T020728123Z"
#: Messages that one script moves here, so that there are many scripts, and how many messages there are.
MOST: Final = 5
MESSAGES: Final = 120
#: Seconds to wait for an answer that was lost on its way.
ANSWER: Final = 0.2
_IDS: Final = tuple(f"mail-{number}" for number in (1, 5, 8, 9, 22, 40, 63, 64, 90, 119))
#: What is done, by name: to a queue with `MESSAGES` that were locked away where the wish is about a quarantine, with so
#: many that came since.
DEEDS: Final[dict[str, tuple[Wish, int]]] = {
    "purge": (Purge("mail"), 0),
    "restore": (Restore(QUARANTINE), 8),
    "restore a long queue": (Restore(QUARANTINE), 60),
    "restore some": (Restore(QUARANTINE, 37), 60),
    "restore single ones": (Restore(QUARANTINE, ids=list(_IDS)), 60),
    "delete": (Delete("mail", list(_IDS)), 0),
    "move": (Move("mail", "slow", list(_IDS)), 0),
    "move all": (Move("mail", "slow"), 0),
    "restore a file": (RestoreFile("copy"), 60),
}


def wish_of(deed: str, folder: Path) -> Wish:
    """What is wished for; files are in a folder."""
    wish, _ = DEEDS[deed]
    return RestoreFile(str(folder / wish.file)) if isinstance(wish, RestoreFile) else wish


class Scene:
    """A Redis with messages to which something is to be done, and who does it: by way of ``url``."""

    def __init__(self, url: str, client: Redis, folder: Path, deed: str) -> None:
        self.url = url
        self.client = client
        self.deed = deed
        self.actor = Actor(url, folder, options={"socket_timeout": str(ANSWER)})
        self.wish, newcomers = wish_of(deed, folder), DEEDS[deed][1]
        #: Whether what is not in the broker is still in a file.
        self._in_file = isinstance(self.wish, RestoreFile)
        client.flushall()
        ids = fill(client, "mail", range(MESSAGES))
        self.before = lists_of(client, "mail")
        if isinstance(self.wish, Restore):
            self.actor.do(Purge("mail", quarantine=QUARANTINE))
        elif isinstance(self.wish, RestoreFile):
            Path(self.wish.file).unlink(missing_ok=True)
            self.actor.do(Purge("mail", self.wish.file, quarantine=QUARANTINE))
            self.actor.do(Discard(QUARANTINE))
        for path in folder.glob("audit*"):
            path.unlink()
        ids += fill(client, "mail", range(1_000, 1_000 + newcomers))
        self.since = lists_of(client, "mail") if newcomers else {}
        self.ids = Counter(ids)

    def end(self) -> None:
        """Go on with what was broken off, put back all that is left of quarantines, and check that nothing is amiss."""
        assert self.faults() == []
        self._go_on()
        assert self.faults() == []
        for quarantine in sorted({key.partition(SEPARATOR)[0] for key in self._keys() if ".quarantine." in key}):
            assert self.actor.do(Restore(quarantine)).state == "done"
        assert self.faults() == []
        whole = isinstance(self.wish, Restore) and self.wish.count is None and not self.wish.ids
        if whole or isinstance(self.wish, Purge):
            # All are where they were, to the byte, before what came since.
            assert lists_of(self.client, "mail") == {
                step: self.before[step] + self.since.get(step, []) for step in self.before
            }
        elif isinstance(self.wish, RestoreFile) and self._was_begun():
            # They come behind what came since.
            assert lists_of(self.client, "mail") == {
                step: self.since.get(step, []) + self.before[step] for step in self.before
            }
        elif isinstance(self.wish, Move) and self._was_begun():
            moved = {id_ for step in PRIORITY_STEPS for id_ in ids_of(self.client, "slow", step)}
            assert moved == (set(self.wish.ids) or set(self.ids))

    def faults(self) -> list[str]:
        """What was lost or doubled."""
        lists = [key for key in self._keys() if not key.startswith(SENT)]
        found = Counter(
            str(json.loads(raw)["headers"]["id"]) for key in lists for raw in self.client.lrange(key, 0, -1)
        )
        lost, doubled = self.ids - found, found - self.ids
        if self._in_file:
            lost.clear()
        return [*(f"{id_} is lost" for id_ in lost), *(f"{id_} is doubled" for id_ in doubled)]

    def _go_on(self) -> None:
        """Go on with what was broken off, as far as there is anything left to do."""
        if self._was_begun():
            try:
                rest = self.actor.resume(self.actor.entries[0].act)
            except Impossible:  # it was done
                return
            finally:
                self._in_file = False
            outcome = execute(rest)
            assert outcome.state == "done", outcome.text

    def _was_begun(self) -> bool:
        return bool(self.actor.entries)

    def _keys(self) -> list[str]:
        return [key.decode() for key in self.client.scan_iter() if isinstance(key, bytes)]


# --- who acts is killed ----------------------------------------------------------------------------------------------


def kill_self_at(moment: int) -> None:
    """Let this process be killed before or after the n-th thing that it writes."""
    left = [moment]

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    send, append = redis.connection.AbstractConnection.send_packed_command, audit_append.append

    def send_and_tick(self: Any, command: Any, *rest: Any, **more: Any) -> None:
        writes = b"EVAL" in b"".join(command if isinstance(command, list) else [command])[:20]
        if writes:
            tick()
        send(self, command, *rest, **more)  # type: ignore[no-untyped-call]
        if writes:
            tick()

    def append_and_tick(*words: Any, **more: Any) -> None:
        tick()
        append(*words, **more)
        tick()

    redis.connection.AbstractConnection.send_packed_command = send_and_tick  # type: ignore[method-assign]
    audit_append.append = append_and_tick


def _command(scene: Scene, moment: int) -> list[str]:
    places = (scene.url, str(scene.actor.log.path.parent))
    return [sys.executable, "-m", __spec__.name, "--act", scene.deed, *places, "--at", str(moment)]


def killed_at(scene: Scene, moment: int) -> bool:
    """Whether a process that does this was killed at its n-th moment, rather than come to its end before."""
    done = subprocess.run(_command(scene, moment), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def killed_some_time(scene: Scene, chance: random.Random) -> None:
    """Kill a process that does this while it is at it."""
    with subprocess.Popen(_command(scene, 0), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        time.sleep(chance.uniform(0.0, 0.06))
        process.kill()


# --- the link breaks -------------------------------------------------------------------------------------------------


@contextmanager
def breaks_at(proxy: FaultProxy, number: int, *, done: bool) -> Iterator[list[int]]:
    """The link breaks at the n-th script, before it is sent, or when it is done and before its answer comes.

    How many there were.
    """
    count = [0]

    def breaking(run: Callable[..., Any]) -> Callable[..., Any]:
        def run_and_break(*words: Any) -> Any:
            count[0] += 1
            if count[0] == number and done:
                proxy.freeze("down")
            elif count[0] == number:
                proxy.refuse()
                proxy.cut()
            return run(*words)

        return run_and_break

    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(RedisVault, "_run", breaking(RedisVault._run))
            patched.setattr(RedisFiller, "fill", breaking(RedisFiller.fill))
            yield count
    finally:
        proxy.cut()
        proxy.thaw()
        proxy.admit()


def broken_at(scene: Scene, number: int, *, proxy: FaultProxy, done: bool) -> bool:
    """Whether the link broke at the n-th script, and that was said."""
    with breaks_at(proxy, number, done=done) as count:
        outcome = scene.actor.do(scene.wish)
    broke = count[0] >= number
    assert outcome.state == ("failed" if broke else "done"), outcome.text
    return broke


@pytest.fixture(autouse=True)
def _in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_vault, "MOST", MOST)
    monkeypatch.setattr(RedisFiller, "at_once", MOST)


@pytest.mark.parametrize("deed", DEEDS)
def test_a03_a_process_that_is_killed_loses_and_doubles_nothing(
    redis_server: RedisServer, client: Redis, tmp_path: Path, deed: str
) -> None:
    for moment in (4, 7):  # when the first script was sent, and later
        scene = Scene(redis_server.url, client, tmp_path, deed)
        killed_at(scene, moment)
        scene.end()


@pytest.mark.parametrize("deed", DEEDS)
def test_a03_a_link_that_breaks_loses_and_doubles_nothing(
    redis_server: RedisServer, client: Redis, tmp_path: Path, deed: str
) -> None:
    with FaultProxy(redis_server.port) as proxy:
        for number in (1, 2, 4):
            for done in (True, False):
                scene = Scene(url_of(proxy), client, tmp_path, deed)
                assert broken_at(scene, number, proxy=proxy, done=done) or number > 1
                scene.end()


def url_of(proxy: FaultProxy) -> str:
    """The broker behind a proxy."""
    return f"redis://{HOST}:{proxy.port}/0"


def _all(make: Callable[[], Scene], fail: Callable[[Scene, int], bool]) -> int:
    """Let something fail at its first, second … point, until there are no more; how many there were."""
    number = 1
    while fail(scene := make(), number):
        scene.end()
        number += 1
    return number - 1


def main(words: Sequence[str] | None = None) -> None:
    """Go through all points, and say how many there were; or act, as one who is to be killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=100, help="kills at moments that nobody chose")
    parser.add_argument("--act", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--at", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    redis_vault.MOST = MOST  # type: ignore[misc]
    RedisFiller.at_once = MOST  # type: ignore[misc]
    if given.act:
        deed, url, folder = given.act
        actor = Actor(url, Path(folder))
        if given.at:
            kill_self_at(given.at)
        sys.stdout.write("begins\n")
        sys.stdout.flush()
        actor.do(wish_of(deed, Path(folder)))
        return
    told = {deed: {"kills": 0, "links": 0, "moments": 0} for deed in DEEDS}
    with (
        RedisServer() as server, Redis.from_url(server.url) as client,
        FaultProxy(server.port) as proxy, tempfile.TemporaryDirectory() as folder,
    ):  # fmt: skip
        direct = partial(Scene, server.url, client, Path(folder))
        for deed, counts in told.items():
            counts["kills"] = _all(partial(direct, deed), killed_at)
            by_proxy = partial(Scene, url_of(proxy), client, Path(folder), deed)
            for done in (True, False):
                counts["links"] += _all(by_proxy, partial(broken_at, proxy=proxy, done=done))
        chance = random.Random(5)
        for _ in range(given.moments):
            deed = chance.choice(list(DEEDS))
            scene = direct(deed)
            killed_some_time(scene, chance)
            scene.end()
            told[deed]["moments"] += 1
    points = sum(sum(counts.values()) for counts in told.values())
    figures = {"points": points, "lost": 0, "doubled": 0, "by_deed": told}
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    main()
