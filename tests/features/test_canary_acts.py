"""S01: whatever is done to a broker, and whatever goes wrong with it, no password is written down or said.

The audit log, copies of messages and exports are written with the word of a broker beside them: its address, without
what is secret of it. The result backend has another password than the broker.
"""

import json
import logging
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from redis import Redis

from app.collectors.acts.act import Impossible
from app.collectors.errors import BrokerError
from app.models.acts import (
    Delete,
    Discard,
    Edited,
    Move,
    Outcome,
    Purge,
    Rerun,
    Restore,
    Revoke,
    RevokeStamped,
    Send,
    Standing,
    Steer,
    Wish,
)
from app.models.wire import Acted, Asked, Configure, DoAct, Health, Lock, Message, PlanAct, Planned, Unlock, frame
from app.paths import audit_file
from tests.collectors.conftest import command
from tests.features.conftest import Cloche
from tests.helpers import rabbits
from tests.helpers.acting import Actor
from tests.helpers.canary import CANARY, Aviary, found_nothing, locked, watched
from tests.helpers.celery_apps import make_app, worker
from tests.helpers.collecting import child, hear
from tests.helpers.keyrings import System
from tests.helpers.messages import fill
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import HOST, RabbitServer, RedisServer
from tests.helpers.waiting import eventually

#: The password of the result backend, and what a task is called with that nobody else should read.
OTHER: Final = 'zeisig-3 ö/"§"&y'
ARGUMENT: Final = 'meise-5 ä/"$"&z'
W1: Final = "w1@test"
TASK: Final = "truth.add"
#: What a worker is told, and how.
STEERS: Final[Sequence[Sequence[str]]] = (
    ("grow", "1"), ("shrink", "1"), ("consume", "later"), ("stop-consuming", "later"), ("rate-limit", TASK, "10/m"),
    ("time-limit", TASK, "--soft", "30"), ("events-on",), ("events-off",),
)  # fmt: skip
#: Those that it can't do, as it was not started or set up for them.
UNABLE: Final[Sequence[Sequence[str]]] = (("autoscale", "--most", "4"), ("restart-pool",))
#: Each kind of act, as long as nothing is in its way; `Q` is a quarantine.
WISHES: Final[Sequence[Wish]] = (
    Purge("mail"), Restore("Q"), Discard("Q"), Delete("mail", ["mail-1"]), Move("mail", "slow"), Rerun(["mail-2"]),
    Rerun(["mail-3"], edited={"mail-3": Edited("[1]", "{}")}), Send("shop.buy"), Revoke(["mail-4"]),
    Revoke(["mail-4"], terminate=True), RevokeStamped("customer", ["1"]),
    Steer("rate_limit", [W1], task=TASK, rate="1/s"),
)  # fmt: skip
#: Of each way to a broker one.
REFUSED: Final[Sequence[Wish]] = (Purge("mail"), Rerun(["mail-2"]), Send("shop.buy"), Revoke(["mail-4"]))


@pytest.fixture
def aviary(tmp_path: Path) -> Iterator[Aviary]:
    """Where all passwords of these tests are listened for."""
    with Aviary(tmp_path, CANARY, OTHER) as made:
        yield made


class Shop:
    """A broker with messages and a worker that wants passwords, kept as the connection *shop*."""

    def __init__(self, cloche: Cloche, url: str, folder: Path, logs: Path, held: ExitStack) -> None:
        self._cloche = cloche
        self.folder = folder
        self.app = make_app(url)
        held.callback(self.app.close)
        held.enter_context(worker(url, "w1", logs / "w1.log"))
        eventually(lambda: self.app.control.ping([W1], timeout=1), "the worker", within=60)

    def send(self, number: int, queue: str = "mail") -> list[str]:
        """Ids of tasks that wait in a queue."""
        return [str(self.app.send_task(TASK, (each, 1), queue=queue)) for each in range(number)]

    def do(self, *words: str, code: int = 0) -> dict[str, Any]:
        """What came of an act that is done without a question."""
        deed, *rest = words
        done = self._cloche(deed, "shop", *rest, "--mode", "operate", "--yes", "--json", code=code)
        return dict(json.loads(done.stdout)) if done.stdout else {}

    def purge(self, *words: str) -> str:
        """The quarantine of what was purged."""
        return str(self.do("purge", "mail", *words)["outcome"]["undo"]["quarantine"])

    def everything(self, *, known: bool) -> None:
        """Each act of the command line, and each way in which it tells of it.

        ``known`` is whether tasks can be run again that no history knows, as their messages are looked for.
        """
        for queue in ("later", "slow"):
            self.send(1, queue)  # so that they are there
        ids = self.send(12)
        backup = self.folder / "mail.messages"
        self._cloche("purge", "shop", "mail", "--mode", "operate", "--plan")
        self._cloche("purge", "shop", "mail", "--mode", "operate", "--plan", "--json")
        quarantine = self.purge("--backup", str(backup))
        self._cloche("backup", str(backup))
        self._cloche("quarantines", "shop", "--mode", "operate", "--json")
        self.do("restore", quarantine)
        self.do("restore", "--file", str(backup), "--queue", "later", "--again")
        if known:
            self.do("rerun", ids[0], "--queue", "later")
            self.do("rerun", ids[1], "--args", "[1, 2]", "--kwargs", "{}", "--queue", "later")
        self.do("rerun", "nobody-knows-it", code=1)
        self.do("send", TASK, "--args", "[1, 2]", "--queue", "later")
        self.do("revoke", ids[2])
        self.do("revoke", "--stamped", "customer=1")
        running = str(self.app.send_task("truth.timed", (600,)))
        eventually(
            lambda: running in str(self.app.control.inspect([W1], timeout=1).active()), "a task that runs", within=30
        )
        self.do("revoke", running, "--terminate")
        for words in STEERS:
            self.steer(*words)
        for words in UNABLE:
            self.steer(*words, code=1)
        self.do("move", "mail", "slow")
        self.send(3)
        self.do("discard", self.purge())
        self.steer("shutdown")

    def steer(self, *words: str, code: int = 0) -> None:
        self._cloche("worker", "shop", *words, "--worker", W1, "--mode", "operate", "--yes", "--json", code=code)

    def told(self) -> None:
        """All that tells of it afterwards."""
        deeds = json.loads(self._cloche("audit", "list", "--last", "100", "--json").stdout)
        assert len(deeds) > 15
        for deed in deeds[:3]:
            self._cloche("audit", "show", deed["act"])
            self._cloche("audit", "show", deed["act"], "--json")
        self._cloche("audit", "verify")
        self._cloche("audit", "export", str(self.folder / "audit.csv"))
        self._cloche("audit", "export", str(self.folder / "export.jsonl"))
        self._cloche("audit", "resume", deeds[0]["act"], "--mode", "operate", code=1)


TOLD: Final = (
    "audit.jsonl", "audit.jsonl.head", "mail.messages", "audit.csv", "export.jsonl", "the environment",
    *(f"what {deed} says" for deed in ("purge", "restore", "discard", "move", "rerun", "send", "revoke", "worker",
                                        "quarantines", "backup", "audit")),
    *(f"arguments of {deed}" for deed in ("purge", "restore", "rerun", "send", "revoke", "worker")),
)  # fmt: skip


@pytest.mark.timeout(600)
def test_s01_acts_on_redis_write_down_and_say_no_password(
    cloche: Cloche, aviary: Aviary, system: System, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory,
    redis_server: RedisServer,
) -> None:  # fmt: skip
    theirs = tmp_path_factory.mktemp("theirs")  # which is not ours to keep clean
    with Redis.from_url(redis_server.url) as client:
        command(client, "ACL", "SETUSER", "results", "on", f">{OTHER}", "~*", "&*", "+@all")
    with watched(redis_server, aviary), ExitStack() as held:
        server = f"{HOST}:{redis_server.port}"
        settings = theirs / "celeryconfig.py"
        lines = {"broker_url": f"redis://:{quote(CANARY, safe='')}@{server}/0",
                 "result_backend": f"redis://results:{quote(OTHER, safe='')}@{server}/1"}  # fmt: skip
        settings.write_text("\n".join(f"{name} = '{url}'" for name, url in lines.items()), encoding="utf-8")
        cloche("profiles", "import", str(settings), "--name", "shop")
        assert list(system.kept.values()) == [CANARY, OTHER]
        shop = Shop(cloche, lines["broker_url"], tmp_path, theirs, held)
        shop.everything(known=True)
        shop.told()
    found_nothing(aviary, *TOLD, "MONITOR", "SLOWLOG")


@pytest.mark.timeout(600)
def test_s01_acts_on_rabbitmq_write_down_and_say_no_password(
    cloche: Cloche, aviary: Aviary, system: System, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory,
    rabbitmq_server: RabbitServer, rabbitmq_url: str,
) -> None:  # fmt: skip
    user = rabbits.make_user(rabbitmq_server, rabbitmq_url, "canary", ".*", ".*", ".*")
    rabbits.manage(rabbitmq_server, "PUT", "users/canary", {"password": CANARY, "tags": "monitoring"})
    api = f"management_url=http://{HOST}:{rabbitmq_server.management_port}"
    with ExitStack() as held:
        cloche(
            "profiles",
            "add",
            "shop",
            user.replace(":secret", ""),
            "--ask-password",
            "--option",
            api,
            typed=f"{CANARY}\n",
        )
        assert list(system.kept.values()) == [CANARY]
        url = user.replace(":secret", f":{quote(CANARY, safe='')}")
        shop = Shop(cloche, url, tmp_path, tmp_path_factory.mktemp("theirs"), held)
        shop.everything(known=False)
        shop.told()
    rabbits.manage(rabbitmq_server, "DELETE", "users/canary")
    found_nothing(aviary, *TOLD)


# --- over the pipe of a window, while things break -------------------------------------------------------------------


class Window:
    """What a window says to its collector, and hears of it."""

    def __init__(self, process: subprocess.Popen[bytes], aviary: Aviary) -> None:
        self._process = process
        self._aviary = aviary
        self._said: list[Message] = []
        self._number = 0
        self._thread = threading.Thread(target=self._hear)
        self._thread.start()

    def _hear(self) -> None:
        for message in hear(self._process):
            self._aviary.listen(f"the pipe, {type(message).__name__}", frame(message))
            self._said.append(message)

    def say(self, message: Asked) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(frame(message))
        self._process.stdin.flush()

    def said(self, what: str, fact: Callable[[Message], bool]) -> Message:
        """The first message of which something is true."""
        found = eventually(lambda: [each for each in tuple(self._said) if fact(each)], what, within=60)
        return found[0]

    def plan(self, wish: Wish) -> tuple[int, Planned]:
        self._number += 1
        number = self._number
        self.say(PlanAct(number, wish))
        planned = self.said("a plan", lambda each: isinstance(each, Planned) and each.number == number)
        assert isinstance(planned, Planned)
        return number, planned

    def do(self, number: int, typed: str) -> None:
        self.say(DoAct(number, typed, 200.0))

    def ended(self, number: int) -> Outcome:
        acted = self.said(
            "its end",
            lambda each: isinstance(each, Acted) and each.number == number and each.outcome.state != "running",
        )
        assert isinstance(acted, Acted)
        return acted.outcome

    def act(self, wish: Wish) -> str:
        """How an act went, in words."""
        number, planned = self.plan(wish)
        if planned.plan is None:
            return planned.error
        self.do(number, planned.plan.typed)
        return self.ended(number).text

    def end(self) -> None:
        """Wait until all was heard of a collector that was killed."""
        self._process.wait(30)
        self._thread.join()
        assert self._process.stderr is not None
        self._aviary.listen("standard error", self._process.stderr.read())


def story(url: str, change: Callable[[str], object], proxy: FaultProxy, aviary: Aviary, folder: Path) -> None:
    """A collector acts while the link breaks, while the broker refuses it, and until it is killed itself.

    ``change`` gives the broker another password.
    """
    backend = f"redis://results@{HOST}:1/1"
    config = Configure(
        "shop", url, str(folder / "shop.cloche"), CANARY, "operate", {"result_backend": backend},
        backend_password=OTHER, environment="development",
    )  # fmt: skip
    with child(config) as process:
        window = Window(process, aviary)
        window.said("a link", lambda each: isinstance(each, Health) and each.state == "live")
        window.say(Unlock("nonsense"))
        window.said("the lock", lambda each: isinstance(each, Standing) and each.unlocked is not None)
        aviary.listen("acts", "\n".join(window.act(wish) for wish in WISHES))
        # The link breaks between plan and deed, and while it is done.
        number, planned = window.plan(Purge("other"))
        assert planned.plan is not None, planned.error
        proxy.refuse()
        proxy.cut()
        window.do(number, planned.plan.typed)
        cut = window.ended(number)
        assert cut.state == "failed", cut
        aviary.listen("acts over a link that is cut", cut.text)
        proxy.admit()
        # Nobody is let in any more.
        change("another")
        proxy.cut()
        for wish in REFUSED:
            aviary.listen("acts with a wrong password", window.act(wish))
        window.say(Lock())
        window.act(Purge("other"))
        process.kill()
        window.end()
    # It dies while it acts.
    change(CANARY)
    with child(config) as process:
        window = Window(process, aviary)
        window.say(Unlock())
        number, planned = window.plan(Purge("other"))
        assert planned.plan is not None, planned.error
        before = audit_file().stat().st_size
        window.do(number, planned.plan.typed)
        eventually(lambda: audit_file().stat().st_size > before, "that it is about to")
        process.kill()
        window.end()


PIPED: Final = (
    "the pipe, Planned", "the pipe, Acted", "the pipe, Standing", "acts with a wrong password", "standard error",
    "acts over a link that is cut", "arguments of collector", "audit.jsonl", "shop.cloche",
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the audit log is."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def test_s01_no_password_goes_over_the_pipe_or_is_left_when_acts_on_redis_fail(
    aviary: Aviary, home: Path, redis_server: RedisServer
) -> None:
    with watched(redis_server, aviary) as client, FaultProxy(redis_server.port) as proxy:
        fill(client, "mail", range(30))
        fill(client, "other", range(2_000))
        story(
            f"redis://{HOST}:{proxy.port}/0",
            partial(command, client, "CONFIG", "SET", "requirepass"),
            proxy, aviary, home,
        )  # fmt: skip
    found_nothing(aviary, *PIPED, "MONITOR", "SLOWLOG")
    assert "refused the sign-in" in aviary.said["acts with a wrong password"]


def test_s01_no_password_goes_over_the_pipe_or_is_left_when_acts_on_rabbitmq_fail(
    aviary: Aviary, home: Path, rabbitmq_server: RabbitServer, rabbitmq_url: str
) -> None:
    user = rabbits.make_user(rabbitmq_server, rabbitmq_url, "canary", ".*", ".*", ".*").replace(":secret", "")

    def change(password: str) -> None:
        rabbits.manage(rabbitmq_server, "PUT", "users/canary", {"password": password, "tags": ""})

    change(CANARY)
    with rabbits.client(rabbitmq_url) as channel, FaultProxy(rabbitmq_server.port) as proxy:
        for queue in ("mail", "other"):
            rabbits.declare(channel, queue)
            rabbits.send(channel, queue, 200)
        story(user.replace(f":{rabbitmq_server.port}", f":{proxy.port}"), change, proxy, aviary, home)
    rabbits.manage(rabbitmq_server, "DELETE", "users/canary")
    found_nothing(aviary, *PIPED)
    assert "refused the sign-in" in aviary.said["acts with a wrong password"]


# --- in the words of libraries ---------------------------------------------------------------------------------------


def listened(url: str, aviary: Aviary, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every act, with all that libraries say at DEBUG."""
    caplog.set_level(logging.DEBUG)
    actor = Actor(url, folder)
    for wish in WISHES:
        with suppress(Impossible, BrokerError):
            aviary.listen("outcomes", repr(actor.do(wish)))
    aviary.listen("log records", "\n".join(f"{each.getMessage()} {each.exc_text}" for each in caplog.records))
    assert len(actor.entries) > 8
    found_nothing(aviary, "outcomes", "log records", "audit.jsonl")


def test_s01_no_library_logs_a_password_while_something_is_done_to_redis(
    aviary: Aviary, tmp_path: Path, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with locked(redis_server) as client:
        fill(client, "mail", range(30))
        url = f"redis://:{quote(CANARY, safe='')}@{HOST}:{redis_server.port}/0"
        listened(url, aviary, tmp_path, caplog)


def test_s01_no_library_logs_a_password_while_something_is_done_to_rabbitmq(
    aviary: Aviary, tmp_path: Path, rabbitmq_server: RabbitServer, rabbitmq_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    user = rabbits.make_user(rabbitmq_server, rabbitmq_url, "canary", ".*", ".*", ".*")
    rabbits.manage(rabbitmq_server, "PUT", "users/canary", {"password": CANARY, "tags": ""})
    with rabbits.client(rabbitmq_url) as channel:
        rabbits.declare(channel, "mail")
        rabbits.send(channel, "mail", 30)
    listened(user.replace(":secret", f":{quote(CANARY, safe='')}"), aviary, tmp_path, caplog)
    rabbits.manage(rabbitmq_server, "DELETE", "users/canary")


# --- what tasks are called with --------------------------------------------------------------------------------------


def test_s01_what_tasks_are_called_with_is_in_no_audit_log_of_who_wants_it_written_nowhere(
    tmp_path: Path, redis_server: RedisServer, client: Redis
) -> None:
    fill(client, "mail", range(3))
    client.sadd("_kombu.binding.mail", "mail\x06\x16\x06\x16mail")
    secret = json.dumps([ARGUMENT])
    edited = {"mail-0": Edited(secret, "{}")}
    for keeps in (False, True):
        with Aviary(tmp_path / str(keeps), ARGUMENT) as aviary:
            (tmp_path / str(keeps)).mkdir()
            actor = Actor(redis_server.url, tmp_path / str(keeps), keep_arguments=keeps)
            sent = actor.do(Send("shop.buy", secret, "{}", "to"))
            again = actor.do(Rerun(["mail-0"], edited=edited, queue="to"))
            assert (sent.state, again.state) == ("done", "done")
        assert bool(aviary.hits) == keeps, aviary.hits
    assert client.llen("to") == 4
    # What is not known can't be gone on with, and is not guessed.
    forgetful = Actor(redis_server.url, tmp_path / "False", keep_arguments=False)
    intent = next(entry for entry in forgetful.entries if isinstance(entry.wish, Send))
    assert intent.wish is not None
    assert "was not written down" in forgetful.refusal(intent.wish)
