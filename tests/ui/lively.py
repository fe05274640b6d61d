"""A made-up fleet over a real history, for pictures and measurements of the pages."""

import random

from app.models.records import Event, Queue
from tests.ui.histories import STATS, History, event, failed, heartbeat, received, retried, sent, started, succeeded

_NAMES = (
    ("leads.scrape_page", "browser", "('https://example.com/p/{n}',)"),
    ("leads.enrich", "browser", "({n}, {{'deep': True, 'source': 'crunchbase'}})"),
    ("pagespeed.test", "pagespeed", "('site-{n}', 'mobile')"),
    ("db.vacuum", "database", "()"),
    ("notify.send_email", "default", "('user-{n}', 'welcome')"),
)
_WORKERS = ("w1@crawler-1", "w2@crawler-1", "w3@crawler-2", "w4@db-1")


class Lively:
    """A made-up fleet whose days go by second by second, for pictures and measurements."""

    def __init__(self, history: History, start: float, *, per_second: float = 4.0, seed: int = 7) -> None:
        self.history = history
        self.now = start
        self._dice = random.Random(seed)
        self._rate = per_second
        self._number = 0
        self._lost = ""
        self._later: list[tuple[float, Event]] = []
        self._processed = dict.fromkeys(_WORKERS, 11_000)
        self._ready = {
            "browser": 60.0,
            "pagespeed": 20.0,
            "database": 25.0,
            "default": 12.0,
            "dead_letter": 57.0,
            "celery": 0.0,
        }

    def run(self, seconds: float, *, commit_every: float = 30.0) -> None:
        """Let time go by."""
        end, due = self.now + seconds, self.now
        while self.now < end:
            self.now += 1.0
            self._second()
            if self.now >= due:
                self.history.commit(self.now)
                due = self.now + commit_every
        self.history.commit(self.now)

    def _second(self) -> None:
        now, dice = self.now, self._dice
        for _ in range(round(dice.uniform(0, 2 * self._rate))):
            self._task(now + dice.random())
        due = sorted((item for item in self._later if item[0] <= now), key=lambda item: item[0])
        self._later = [item for item in self._later if item[0] > now]
        alive = tuple(worker for worker in _WORKERS if worker != self._lost)
        beats = (
            [heartbeat(w, now, dice.randrange(1, 5), self._processed[w]) for w in alive] if int(now) % 2 == 0 else []
        )
        events = [event for _, event in due if event.hostname in (*alive, "gen1@web-1")] + beats
        if events:
            self.history.fold(*events, now=now)
        self.history.reducer.tick(now)
        if int(now) % 5 == 0:
            self._poll(now)

    def lose_a_worker(self) -> None:
        """One of them is never heard of again."""
        self._lost = "w3@crawler-2"

    def _task(self, at: float) -> None:
        dice = self._dice
        self._number += 1
        uuid = str(_uuid(dice))
        name, queue, args = dice.choices(_NAMES, (10, 6, 1, 4, 5))[0]
        args = args.format(n=9000 + self._number)
        worker = dice.choice([worker for worker in _WORKERS if worker != self._lost])
        got = at + dice.lognormvariate(-1.5, 0.8)
        self._put(sent(uuid, at, name, queue, args=args, kwargs="{'force': False}"))
        if queue == "pagespeed":
            return
        self._put(received(uuid, got, worker, name, args=args, kwargs="{'force': False}"))
        if dice.random() < 0.02:
            self._put(event("task-revoked", uuid, got + 0.2, worker, terminated=False))
            return
        began = got + dice.lognormvariate(-3, 1)
        if dice.random() < 0.01:
            return
        took = dice.lognormvariate(0.6, 0.9)
        self._put(started(uuid, began, worker))
        self._processed[worker] += 1
        fate = dice.random()
        if fate < 0.05:
            self._put(failed(uuid, began + took, worker))
        elif fate < 0.1:
            self._put(retried(uuid, began + took, worker))
            if fate < 0.08:
                again = began + took + dice.uniform(2, 6)
                self._put(received(uuid, began + took + 0.01, worker, name, args=args, retries=1))
                self._put(started(uuid, again, worker))
                done = failed(uuid, again + 1.3, worker) if fate < 0.065 else succeeded(uuid, again + 2, 2.0, worker)
                self._put(done)
        else:
            self._put(succeeded(uuid, began + took, took, worker, result="{'status': 'ok', 'fields': 17}"))

    def _put(self, event: Event) -> None:
        self._later.append((event.timestamp, event))

    def _poll(self, now: float) -> None:
        dice, ready = self._dice, self._ready
        for name in ("browser", "database", "default"):
            ready[name] = max(0.0, ready[name] * 0.9 + dice.uniform(0, 12))
        ready["pagespeed"] += dice.uniform(1, 4)
        queues = []
        ages = {"pagespeed": 723.0, "dead_letter": 22_320.0}
        for name, n in ready.items():
            steps = {"0": int(n * 0.2), "3": int(n * 0.6), "6": int(n) - int(n * 0.2) - int(n * 0.6)}
            queues.append(
                Queue(
                    name, now, ready=int(n), by_priority=steps if name == "browser" else {"0": int(n)},
                    unacked=0 if name in ("pagespeed", "dead_letter", "celery") else dice.randrange(1, 17),
                    oldest=ages.get(name, 1.9) if int(n) else None,
                    oldest_exact=name != "dead_letter",
                )
            )  # fmt: skip
        self.history.reducer.fold_queues(queues, now)

    def inspect(self) -> None:
        """Ask the workers."""
        consumed = (["browser"], ["browser", "default"], ["browser", "celery"], ["database", "default", "celery"])
        for worker, queues in zip(_WORKERS, consumed, strict=True):
            learnt = {
                "pool": "prefork" if worker != "w4@db-1" else "threads", "slots": 4 if worker != "w4@db-1" else 8,
                "prefetch": 16, "uptime": 93_600.0, "queues": queues, "stats": STATS,
            }  # fmt: skip
            self.history.reducer.fold_inspection(worker, learnt, self.now)


def _uuid(dice: random.Random) -> str:
    digits = f"{dice.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
