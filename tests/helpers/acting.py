"""Who acts on a broker in tests: what is wished is planned, confirmed and carried out, as a collector does it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.collectors.access import Access
from app.collectors.acts.act import Impossible, Reach
from app.collectors.acts.catalogue import act_of
from app.collectors.acts.engine import Prepared, prepare
from app.collectors.brokers import broker_at
from app.collectors.control import Control
from app.models.acts import Outcome, Plan, Wish
from app.models.audit import AuditLog, Subject
from app.models.profiles import Mode


class Actor:
    """Acts on one broker, unlocked; what is done is written to ``log``."""

    def __init__(self, url: str, folder: Path, history: Path | None = None, mode: Mode = "operate") -> None:
        self.access = Access(mode, "development")
        self.access.unlock()
        self.log = AuditLog(folder / "audit.jsonl", Subject("test", url, "development"))
        self.reach = Reach(broker_at(url), self.access, history, lambda _number: None)

    def plan(self, wish: Wish) -> Prepared:
        """Raises `Impossible` and `BrokerError`."""
        return prepare(lambda wished: act_of(wished, self.reach), wish, self.log)

    def look(self, wish: Wish) -> Plan:
        """What would be done; it is not. Raises `Impossible` and `BrokerError`."""
        prepared = self.plan(wish)
        prepared.drop()
        return prepared.plan

    def do(self, wish: Wish, rate: float | None = None) -> Outcome:
        """What became of it; all that has to be typed is."""
        prepared = self.plan(wish)
        return list(prepared.execute(prepared.plan.typed, rate))[-1]

    def refusal(self, wish: Wish) -> str:
        """Why it can't be done."""
        try:
            self.look(wish)
        except Impossible as error:
            return str(error)
        return ""


@contextmanager
def telling(url: str) -> Iterator[Control]:
    """A control that may tell workers what to do."""
    access = Access("operate", "development")
    access.unlock()
    control = broker_at(url).control("operate", on_command=lambda _number: None, grant=(grant := access.grant()))
    assert control is not None
    try:
        yield control
    finally:
        control.close()
        grant.end()
