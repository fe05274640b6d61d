"""Acting on a broker in tests, by the engine as in the program: allowed, planned, confirmed and written down."""

from functools import partial
from pathlib import Path

from app.collectors.access import Access
from app.collectors.acts.act import Reach
from app.collectors.acts.catalogue import act_of
from app.collectors.acts.engine import Prepared, prepare, resume
from app.collectors.brokers import broker_at
from app.models import audit
from app.models.acts import Outcome, Plan, Wish
from app.models.audit import AuditLog, Entry, Subject
from app.models.profiles import Environment


class Actor:
    """Somebody who may act on a broker, with an audit log in a folder."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        options: dict[str, str] | None = None,
        history: Path | None = None,
        environment: Environment = "development",
        keep_arguments: bool = True,
    ) -> None:
        self.access = Access("operate", environment)
        self.access.unlock("production")
        reach = Reach(broker_at(url, None, options), self.access, history, lambda _: None, keep_arguments)
        self._make = partial(act_of, reach=reach)
        # The broker is the same by whatever way it is reached.
        self.log = AuditLog(folder / "audit.jsonl", Subject("test", "redis://the-broker/0", environment))

    def prepare(self, wish: Wish) -> Prepared:
        """What may be confirmed. Raises what `prepare` does."""
        return prepare(self._make, wish, self.log)

    def plan(self, wish: Wish) -> Plan:
        """What would be done, and is not."""
        prepared = self.prepare(wish)
        prepared.drop()
        return prepared.plan

    def do(self, wish: Wish) -> Outcome:
        """Plan and carry out."""
        return execute(self.prepare(wish))

    def resume(self, act: str) -> Prepared:
        """What is left of an act that was broken off. Raises what `resume` does."""
        return resume(self._make, act, self.log)

    @property
    def entries(self) -> list[Entry]:
        """Lines of the audit log."""
        return [entry for entry, _ in audit.read(self.log.path)]


def execute(prepared: Prepared) -> Outcome:
    """Carry out what was planned, as fast as may be, with what has to be typed."""
    return list(prepared.execute(prepared.plan.typed, 200.0))[-1]
