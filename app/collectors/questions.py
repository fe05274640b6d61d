"""When workers and the result backend are asked what, and what becomes of their answers.

Workers are inspected now and then; they are asked which tasks they have while any task is in doubt, or runs for long;
and the result backend is asked how tasks in doubt ended. Nothing of this is done in *passive* mode but reading results.
"""

import time
from typing import Final

from app.collectors.errors import AUTH_PAUSE
from app.collectors.inquiry import Answer, CalledWith, Inquiry, Inspection, Reached, WhoHas
from app.collectors.pollers import Trouble
from app.collectors.results import Ends, Results
from app.models.reducer import Reducer

#: Seconds between two inspections of a worker, and until one that did not answer or could not be asked is asked again.
INSPECT_PAUSE: Final = 30.0
UNANSWERED_PAUSE: Final = 10.0
#: Seconds between two questions which tasks workers have: while tasks are in doubt, growing as long as no others are,
#: and for those that run for so long.
DOUBT_PAUSE: Final = 10.0
STALE_PAUSE: Final = 60.0
#: Seconds between two looks for the result of one task, and tasks that are looked for at a time.
RESULT_PAUSE: Final = 30.0
#: Tasks at a time that workers are asked what they are called with.
MOST_CALLED: Final = 100
MOST_RESULTS: Final = 2_000


class Questions:
    """Asks in threads, and folds what is answered; ``inquiry`` and ``results`` are None where that is not possible."""

    def __init__(
        self, reducer: Reducer, inquiry: Inquiry | None, results: Results | None, *, keep_arguments: bool = True
    ) -> None:
        self.threads: list[Inquiry | Results] = [thread for thread in (inquiry, results) if thread is not None]
        self._reducer = reducer
        self._inquiry = inquiry
        self._results = results
        self._keep_arguments = keep_arguments
        #: Tasks of which workers were asked what they are called with.
        self._called: set[str] = set()
        self._ask_at: dict[str, float] = {}
        self._ask_after = 0.0
        self._who_has_at = 0.0
        self._who_has_pause = DOUBT_PAUSE
        self._doubts_made = 0
        self._stale_at = time.monotonic() + STALE_PAUSE
        self._result_at: dict[str, float] = {}
        #: Whether the last question was answered.
        self.answered = False
        self._blocked = False
        #: Workers that were asked because they fell silent.
        self._suspected: set[str] = set()

    def tick(self, now: float) -> None:
        """Once a second, while we listen: ask what is due."""
        self._look_for_results(now)
        if self._inquiry is None or time.monotonic() < self._ask_after:
            return
        self._inspect(self._inquiry)
        self._reach(self._inquiry, now)
        self._ask_who_has(self._inquiry, now)

    def listen_again(self) -> None:
        """What was learnt before is old: ask soon."""
        self._who_has_at = 0.0
        self._result_at.clear()

    def take(self, item: Answer | Ends, now: float) -> None:
        """Fold an answer."""
        if isinstance(item, Inspection):
            pause = INSPECT_PAUSE if item.learnt else UNANSWERED_PAUSE
            self._ask_at[item.hostname] = time.monotonic() + pause
            if item.learnt:
                self._reducer.fold_inspection(item.hostname, item.learnt, now)
        elif isinstance(item, WhoHas):
            self._reducer.fold_held(item.held, item.asked)
        elif isinstance(item, CalledWith):
            self._reducer.fold_arguments(item.told, now)
        elif isinstance(item, Reached):
            self._reducer.fold_reached(item.reachable)
        else:
            self._reducer.fold_results(item.events, now)

    def trouble(self, trouble: Trouble) -> None:
        """Workers can't be asked (or can be again)."""
        if trouble.error is not None:
            pause = AUTH_PAUSE if trouble.error.refused else UNANSWERED_PAUSE
            self._ask_after = time.monotonic() + pause
        self.answered = trouble.error is None
        self._blocked = trouble.error is not None and trouble.error.fault == "blocked"

    def _inspect(self, inquiry: Inquiry) -> None:
        now = time.monotonic()
        workers = self._reducer.workers.values()
        due = {w.hostname for w in workers if w.state == "online" and now >= self._ask_at.get(w.hostname, 0.0)}
        # A broker that blocks publishers silences workers, and says so to who wants to publish himself.
        silent = {worker.hostname for worker in workers if worker.state == "silent"}
        due |= silent - self._suspected
        if due and not inquiry.inspecting:
            inquiry.inspect(sorted(due))
            self._suspected |= silent
        self._suspected &= silent

    def _reach(self, inquiry: Inquiry, now: float) -> None:
        mute = self._reducer.mute(now)
        if mute or self._blocked:
            inquiry.reach(mute)

    def _ask_who_has(self, inquiry: Inquiry, now: float) -> None:
        moment, doubts = time.monotonic(), self._reducer.doubts
        if doubts.made != self._doubts_made:
            self._who_has_at = min(self._who_has_at, moment + DOUBT_PAUSE)
            self._doubts_made, self._who_has_pause = doubts.made, DOUBT_PAUSE
        doubted = moment >= self._who_has_at and bool(doubts.in_doubt())
        stale = moment >= self._stale_at and doubts.stale(now - STALE_PAUSE)
        if not (doubted or stale):
            return
        hostnames = [worker.hostname for worker in self._reducer.workers.values() if worker.state == "online"]
        if hostnames:
            self._who_has_at, self._stale_at = moment + self._who_has_pause, moment + STALE_PAUSE
            self._who_has_pause = min(2 * self._who_has_pause, STALE_PAUSE)
            inquiry.who_has(hostnames, now)
        if stale and self._keep_arguments:
            self._ask_called(inquiry, now)

    def _ask_called(self, inquiry: Inquiry, now: float) -> None:
        """Ask what tasks are called with that run for long: for events cut it, and nobody may know it later."""
        lasting = [task for task in self._reducer.doubts.lasting(now - STALE_PAUSE) if task.worker and task.started]
        self._called &= {task.uuid for task in lasting}
        asked: dict[str, list[str]] = {}
        for task in [task for task in lasting if task.uuid not in self._called][:MOST_CALLED]:
            asked.setdefault(task.worker or "", []).append(task.uuid)
            self._called.add(task.uuid)
        if asked:
            inquiry.called(asked)

    def _look_for_results(self, now: float) -> None:
        if self._results is None:
            return
        moment = time.monotonic()
        doubted = [task.uuid for task in self._reducer.doubts.in_doubt()]
        due = [uuid for uuid in doubted if moment >= self._result_at.get(uuid, 0.0)][:MOST_RESULTS]
        if due:
            self._result_at |= dict.fromkeys(due, moment + RESULT_PAUSE)
            if len(self._result_at) > 2 * len(doubted) + MOST_RESULTS:
                self._result_at = {uuid: self._result_at[uuid] for uuid in doubted if uuid in self._result_at}
            self._results.ask(due, now)
