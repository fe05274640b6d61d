"""Tasks are revoked by what they are stamped with, which no event tells: how many those are nobody knows beforehand."""

from collections.abc import Iterator

from app.collectors.access import Grant
from app.collectors.acts.act import Act, Impossible, Reach, Step
from app.collectors.acts.crew import LISTED, Crew, revoke_asked, sayable
from app.collectors.acts.revoke import LATER
from app.collectors.orders import MOST_IDS, RevokeStamps
from app.models import acts
from app.models.acts import Caution, Item, Plan, RevokeStamped
from app.models.formats import listed
from app.models.records import Worker


class RevokeByStamp(Act[RevokeStamped]):
    """Not to run tasks that carry a value in a stamped header. How many those are nobody can tell beforehand."""

    rate = acts.RATE

    def __init__(self, wish: RevokeStamped, reach: Reach) -> None:
        super().__init__(wish, reach)
        self._crew = Crew(reach)
        self._expected: list[str] = []
        self._workers: dict[str, Worker] = {}

    def look(self) -> Plan:
        wish = self.wish
        if wish.terminate:
            raise Impossible("Tasks are terminated one at a time, by their ids: of a header nobody knows how many.")
        if not wish.header or not wish.values or not all(wish.values):
            raise Impossible("Name a stamped header and at least one value.")
        if len(wish.values) > MOST_IDS:
            raise Impossible(f"That is more than {MOST_IDS} values.")
        sayable(RevokeStamps({wish.header: wish.values}))
        self._expected, self._workers = self._crew.answering(), self._crew.known()
        cautions = [
            Caution("How many tasks carry it can't be told: it is in no event."),
            Caution("Workers of Celery before 5.3 don't know this command, and say so."), Caution(LATER),
            Caution("A worker forgets stamps that were revoked when it is restarted."),
        ]  # fmt: skip
        if not self._expected:
            cautions.insert(0, Caution("No worker answers: nobody will remember it.", grave=True))
        what = f"{wish.header} = {listed(wish.values, LISTED)}"
        return Plan(
            title=f"Revoke tasks stamped {what}", verb="Revoke", count=len(wish.values), things="value", rate=acts.RATE,
            cautions=cautions,
            facts=[("Will be told", listed(self._expected, LISTED) or "nobody")],
            undo="It can't be taken back while the workers run.",
        )  # fmt: skip

    def still(self) -> int:
        return len(self.wish.values)

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        del act
        control = self._crew.under(grant)
        for value in self.wish.values:
            if value in done:
                continue
            answers = list(control.tell(RevokeStamps({self.wish.header: [value]}), None, self._expected))
            yield Step([Item(value, *revoke_asked(answers, control.listening, self._workers))])

    def give_up(self) -> None:
        self._crew.give_up()

    def close(self) -> None:
        self._crew.close()
