"""Sends one new task, as somebody wrote it."""

import time
from collections.abc import Iterator
from typing import Final

import msgspec

from app.collectors.access import Grant
from app.collectors.acts.act import Act, Impossible, Reach, Step
from app.collectors.checks import MAX_SECONDS, TIMES
from app.collectors.envelope import Known, made, new_id
from app.collectors.publisher import SAID, Publisher, Route, Unroutable
from app.models.acts import Caution, Item, Plan, Sample, Send
from app.models.arguments import checked
from app.models.formats import date_time

#: What is written down in the place of arguments that are written nowhere; it is no JSON.
_FORGOTTEN: Final = "***"
#: The highest priority that AMQP has room for.
_MAX_PRIORITY: Final = 255


class SendAct(Act[Send]):
    """Sends a task."""

    def __init__(self, wish: Send, reach: Reach) -> None:
        super().__init__(wish, reach)
        self._publisher: Publisher | None = None

    @property
    def resolved(self) -> Send:
        # Without its arguments it can't be gone on with: nothing is sent with others.
        keeps = self.reach.keep_arguments
        return self.wish if keeps else msgspec.structs.replace(self.wish, args=_FORGOTTEN, kwargs=_FORGOTTEN)

    def look(self) -> Plan:
        wish = self.wish
        if not wish.name.strip() or not wish.queue.strip():
            raise Impossible("A task has a name, and goes to a queue.")
        if wish.priority is not None and not 0 <= wish.priority <= _MAX_PRIORITY:
            raise Impossible(f"A priority is a number from 0 to {_MAX_PRIORITY}, not {wish.priority}.")
        if any(when is not None and not 0.0 < when < TIMES[1] for when in (wish.eta, wish.expires)):
            raise Impossible("A task's ETA and expiry are times before the year 2100.")
        if any(
            limit is not None and not 0.0 < limit < MAX_SECONDS for limit in (wish.time_limit, wish.soft_time_limit)
        ):
            raise Impossible("Time limits are seconds above 0.")
        if _FORGOTTEN in (wish.args, wish.kwargs):
            raise Impossible("What this task is called with was not written down. Send it anew.")
        try:
            checked(wish.args, wish.kwargs)
        except ValueError as error:
            raise Impossible(str(error)) from error
        given = {
            "Arguments": f"{wish.args} {wish.kwargs}" if self.reach.keep_arguments else "as you wrote them",
            "Queue": wish.queue,
            "ETA": None if wish.eta is None else date_time(wish.eta),
            "Expires": None if wish.expires is None else date_time(wish.expires),
            "Priority": wish.priority,
            "Time limit": wish.time_limit,
            "Soft time limit": wish.soft_time_limit,
        }
        return Plan(
            title=f"Send the task {wish.name}",
            verb="Send",
            count=1,
            things="task",
            facts=[(name, str(value)) for name, value in given.items() if value is not None],
            samples=[Sample(wish.name)],
            cautions=self._cautions(),
            undo="A task that was sent can't be called back for sure: revoke it, as long as it waits.",
        )

    def still(self) -> int:
        return 1

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        wish, id_ = self.wish, new_id(act, self.wish.name)
        if wish.name in done:
            return
        args, kwargs = checked(wish.args, wish.kwargs)
        self._publisher = self.reach.broker.publisher(act, grant, on_command=self.reach.on_command)
        message = made(
            Known(
                name=wish.name, args=args, kwargs=kwargs, id=id_, priority=wish.priority, eta=wish.eta,
                expires=wish.expires, time_limit=wish.time_limit, soft_time_limit=wish.soft_time_limit,
            )
        )  # fmt: skip
        try:
            sent = self._publisher.publish(message, Route("", wish.queue))
        except Unroutable as error:
            yield Step([Item(wish.name, ok=False, text=f"Not sent. {error}")])
        else:
            yield Step([Item(wish.name, ok=True, text=SAID[sent].format(id_))])

    def settle(self) -> None:
        if self._publisher is not None:
            self._publisher.settle()

    def close(self) -> None:
        if self._publisher is not None:
            self._publisher.close()

    def _cautions(self) -> list[Caution]:
        """What looks like a mistake, by what the history knows."""
        wish, cautions = self.wish, list[Caution]()
        if wish.eta is not None and wish.eta < time.time():
            cautions.append(Caution("Its ETA is over: it runs at once."))
        if wish.expires is not None and wish.expires < time.time():
            cautions.append(Caution("It is expired already: no worker will run it.", grave=True))
        seen = self.reach.known(
            lambda reader: (reader.knows_name(wish.name), {queue.name for queue in reader.queues()})
        )
        if seen is None:
            return cautions
        known, queues = seen
        if not known:
            cautions.append(Caution(f"No task called {wish.name} was ever seen here. Check its name."))
        if queues and wish.queue not in queues:
            cautions.append(Caution(f"No queue called {wish.queue} was ever seen here. Check its name.", grave=True))
        return cautions
