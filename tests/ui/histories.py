"""Small real histories for the tests of pages, written as a collector writes them, and a connection that reads them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import QObject, Signal, SignalInstance

from app.models.history.reader import Reader
from app.models.history.writer import Writer
from app.models.profiles import Profile
from app.models.records import Event
from app.models.reducer import Reducer
from app.models.target import Target
from app.models.wire import Health

T = TypeVar("T")

TRACEBACK = """Traceback (most recent call last):
  File "/venv/lib/python3.11/site-packages/celery/app/trace.py", line 453, in trace_task
    R = retval = fun(*args, **kwargs)
                 ^^^^^^^^^^^^^^^^^^^^
  File "/venv/lib/python3.11/site-packages/celery/app/trace.py", line 736, in __protected_call__
    return self.run(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/app/leads/scrape.py", line 41, in scrape_page
    html = fetch(url)
           ^^^^^^^^^^
  File "/srv/app/leads/scrape.py", line 88, in fetch
    response = session.get(url, timeout=3)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/venv/lib/python3.11/site-packages/requests/sessions.py", line 602, in get
    return self.request("GET", url, **kwargs)
  File "/venv/lib/python3.11/site-packages/requests/adapters.py", line 700, in send
    raise ConnectionError(e, request=request)
ConnectionError: api.leads.example refused the connection (111)
"""


class History:
    """A history that grows: fold events and polls, then commit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = Writer(path)
        self.reducer = Reducer(self._writer, self._writer.known())
        self._writer.set_meta(broker="redis://localhost:6379/0", name="test", created="0")

    def fold(self, *events: Event, now: float | None = None) -> None:
        """Take events that came in now."""
        moment = events[-1].timestamp if now is None else now
        for event in events:
            event.seen = moment
        self.reducer.fold(events, moment)

    def commit(self, now: float) -> None:
        """Write what is new."""
        batch = self.reducer.flush()
        rows = self._writer.rows(batch)
        rows.alive = now
        self._writer.commit(rows)
        self.reducer.committed(batch)

    def close(self) -> None:
        self._writer.close()


class Stand(QObject):
    """A connection over a history, which answers at once; ``asked`` counts the questions."""

    committed = Signal()
    health_changed = Signal()

    def __init__(self, path: Path, *, live: bool = True) -> None:
        super().__init__()
        self.live = live
        self.operates = False
        self.history = path
        self.target = Target("shop", path, "redis://shop.example/0" if live else "")
        self.health = Health(state="live" if live else "file")
        self.asked = 0
        self.held: list[asyncio.Future[None]] = []
        self.hold = False
        self._asking = asyncio.Event()
        self._reader = Reader(path)

    @property
    def profile(self) -> Profile:
        """The access mode it has; nothing else of it matters here."""
        return Profile(self.target.name, self.target.url, mode="operate" if self.operates else "observe")

    async def query(self, function: Callable[[Reader], T]) -> T:
        """The answer; while ``hold`` is set, only once its future in ``held`` is done."""
        self.asked += 1
        if self.hold:
            wait: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.held.append(wait)
            self._asking.set()
            await wait
        else:
            await asyncio.sleep(0)
        return function(self._reader)

    async def asking(self) -> None:
        """Until a question is held."""
        await self._asking.wait()

    async def answer_next(self) -> None:
        """Answer the next question that is held, once it is asked, and let the page take the answer."""
        while not self.held:
            self._asking.clear()
            await self._asking.wait()
        self.held.pop(0).set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)

    def stop_search(self) -> None:
        """Nothing is looked through here."""

    def release(self) -> None:
        """Answer all that is held, and all that is asked from now on."""
        self.hold = False
        while self.held:
            self.held.pop(0).set_result(None)

    def close(self) -> None:
        self._reader.close()


async def emitted(signal: SignalInstance) -> None:
    """Until a signal without arguments is emitted."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    signal.connect(finish)
    await done
    signal.disconnect(finish)


def sent(uuid: str, at: float, name: str = "leads.scrape_page", queue: str = "browser", **more: object) -> Event:
    """A producer sent a task."""
    told = {"name": name, "queue": queue, "args": "('x',)", "kwargs": "{}"}
    return event("task-sent", uuid, at, "gen1@web-1", **told | more)


def received(uuid: str, at: float, worker: str = "w1@h", name: str = "leads.scrape_page", **more: object) -> Event:
    """A worker fetched a task."""
    return event("task-received", uuid, at, worker, name=name, **{"args": "('x',)", "kwargs": "{}"} | more)


def started(uuid: str, at: float, worker: str = "w1@h") -> Event:
    """A worker began to run a task."""
    return event("task-started", uuid, at, worker)


def succeeded(uuid: str, at: float, runtime: float = 0.5, worker: str = "w1@h", result: str = "'fine'") -> Event:
    """A task returned."""
    return event("task-succeeded", uuid, at, worker, runtime=runtime, result=result)


def failed(uuid: str, at: float, worker: str = "w1@h") -> Event:
    """A task raised."""
    exception = "ConnectionError('api.leads.example refused the connection (111)')"
    return event("task-failed", uuid, at, worker, exception=exception, traceback=TRACEBACK)


def retried(uuid: str, at: float, worker: str = "w1@h") -> Event:
    """A task asked to be run again."""
    return event("task-retried", uuid, at, worker, exception="TimeoutError('no answer')", traceback=TRACEBACK)


def heartbeat(worker: str, at: float, active: int = 0, processed: int = 0) -> Event:
    """A worker is alive."""
    return Event(
        "worker-heartbeat", worker, at, freq=2.0, active=active, processed=processed, loadavg=[1.2, 0.8, 0.5],
        sw_ident="py-celery", sw_ver="5.5.3", sw_sys="Linux", pid=4711,
    )  # fmt: skip


def event(kind: str, uuid: str, at: float, worker: str, **more: object) -> Event:
    event = Event(kind, worker, at, uuid=uuid)
    for field, value in more.items():
        setattr(event, field, value)
    return event


STATS = (
    '{"total": {"leads.scrape_page": 8120, "leads.enrich": 3107}, "pid": 4711, "clock": "281734", "uptime": 93600,'
    ' "pool": {"implementation": "celery.concurrency.prefork:TaskPool", "max-concurrency": 4, '
    '"processes": [21, 22, 23, 24], "max-tasks-per-child": "N/A", "timeouts": [0, 0]},'
    ' "broker": {"hostname": "10.0.3.17", "transport": "redis", "virtual_host": "0", "ssl": false},'
    ' "prefetch_count": 16, "rusage": {"utime": 812.4, "stime": 91.7, "maxrss": 219340}}'
)
