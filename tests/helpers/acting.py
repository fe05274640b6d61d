"""Acting on a broker in tests, by the engine as in the program: allowed, planned, confirmed and written down."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from app.collectors.access import Access
from app.collectors.acts.act import Impossible, Reach
from app.collectors.acts.catalogue import act_of
from app.collectors.acts.engine import Prepared, prepare, resume
from app.collectors.brokers import broker_at
from app.collectors.control import Control
from app.models import audit_chain
from app.models.acts import Outcome, Plan, Wish
from app.models.audit import AuditLog, Subject
from app.models.audit_chain import Entry
from app.models.profiles import Environment, Mode


class Actor:
    """Somebody who may act on a broker, unlocked, with an audit log in a folder."""

    def __init__(
        self,
        url: str,
        folder: Path,
        history: Path | None = None,
        mode: Mode = "operate",
        *,
        options: dict[str, str] | None = None,
        environment: Environment = "development",
        keep_arguments: bool = True,
    ) -> None:
        self.access = Access(mode, environment)
        self.access.unlock("production")
        self.reach = Reach(broker_at(url, None, options), self.access, history, lambda _: None, keep_arguments)
        self._make = partial(act_of, reach=self.reach)
        # The broker is the same by whatever way it is reached.
        self.log = AuditLog(folder / "audit.jsonl", Subject("test", "redis://the-broker/0", environment))

    def prepare(self, wish: Wish) -> Prepared:
        """What may be confirmed. Raises what `prepare` does."""
        return prepare(self._make, wish, self.log)

    def plan(self, wish: Wish) -> Plan:
        """What would be done, and is not. Raises what `prepare` does."""
        prepared = self.prepare(wish)
        prepared.drop()
        return prepared.plan

    def do(self, wish: Wish, rate: float | None = 200.0) -> Outcome:
        """Plan and carry out."""
        return execute(self.prepare(wish), rate)

    def resume(self, act: str) -> Prepared:
        """What is left of an act that was broken off. Raises what `resume` does."""
        return resume(self._make, act, self.log)

    def refusal(self, wish: Wish) -> str:
        """Why it can't be done; "" where it can."""
        try:
            self.plan(wish)
        except Impossible as error:
            return str(error)
        return ""

    @property
    def entries(self) -> list[Entry]:
        """Lines of the audit log."""
        return [entry for entry, _ in audit_chain.read(self.log.path)]


def execute(prepared: Prepared, rate: float | None = 200.0) -> Outcome:
    """Carry out what was planned, with what has to be typed."""
    return list(prepared.execute(prepared.plan.typed, rate))[-1]


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
