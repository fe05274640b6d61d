"""Quarantines on RabbitMQ: durable queues of ours, into which messages are carried, and from which they come back."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from app.collectors.access import Grant
from app.collectors.amqp import FAILURES, MAX_NAME, AmqpAddress
from app.collectors.amqp_carrier import Carrier
from app.collectors.amqp_content import locked, packed, sendable, task_id, unlocked
from app.collectors.amqp_dangers import BEHIND, SHAKEN, dangers, doubts, losses, nature_to_move
from app.collectors.amqp_guard import LEDGER, LOOKING, Guard, is_quarantine, moving, reckoning
from app.collectors.amqp_inbox import Taken
from app.collectors.amqp_intake import Intake
from app.collectors.amqp_ledger import Ledger, new_ids
from app.collectors.amqp_messages import no_queue
from app.collectors.amqp_transfer import Carried, Transfer
from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError
from app.collectors.managed import Nature
from app.collectors.management import Management
from app.collectors.vault import NOT_SINGLE, Contents, Quarantine
from app.models.acts import Caution, Item
from app.models.formats import number_of
from app.models.profiles import Mode
from app.models.quarantines import origin, quarantine_name

#: How often a message of a quarantine may be looked at, where RabbitMQ counts that (it would drop it after 20).
_LOOKS: Final = 1_000_000

_NOT_SINGLE: Final = f"{NOT_SINGLE} Purge the queue, and move single ones from the quarantine."


class AmqpVault:
    """Moves messages in RabbitMQ; see `Vault`. A quarantine has a ledger beside it; see `amqp_carrier`.

    What waits in a quarantine keeps its priority, and the order within it.
    """

    #: A queue is moved in pieces, and workers go on meanwhile.
    at_once: Final = False
    in_front: Final = False

    def __init__(self, address: AmqpAddress, mode: Mode, *, on_command: Callable[[int], None]) -> None:
        self._address = address
        self._mode: Mode = mode
        self._on_command = on_command
        self._given_up = False
        self.aside = ""

    # --- looking -----------------------------------------------------------------------------------------------------

    def contents(self, name: str, samples: int = 10) -> Contents:
        """How many messages wait in a queue or a quarantine; no samples, as a look would mark them."""
        del samples
        if len(name.encode()) > MAX_NAME:
            raise no_queue(name[:MAX_NAME], self._address.shown)
        with self._carrier(LOOKING) as carrier:
            return Contents(carrier.length(name)[0])

    def find(self, name: str, ids: Collection[str]) -> None:
        """Nothing: a look would mark all messages. Raises `BrokerError` for a queue, out of which none can be taken."""
        del ids
        if not is_quarantine(name):
            raise BrokerError("protocol", _NOT_SINGLE)

    def quarantines(self, known: Collection[str] = ()) -> list[Quarantine]:
        """Those that are there, as far as the management API tells, which alone can; else those that are ``known``."""
        if self._address.management is None:
            found = [(name, self._length(name)) for name in sorted(known) if is_quarantine(name)]
        else:
            found = self._listed(self._address.management)
        parts = [(name, origin(name), total) for name, total in found if total is not None]
        return [Quarantine(name, *part, total) for name, part, total in parts if part is not None]

    def _length(self, name: str) -> int | None:
        """How many messages wait there; None where there is no such queue."""
        try:
            return self.contents(name).total
        except BrokerError as error:
            if error.fault != "absent":
                raise
            return None

    def _listed(self, management: Management) -> list[tuple[str, int | None]]:
        """All queues, and how many messages wait in each."""
        found: list[tuple[str, int | None]] = []
        page, pages = 1, 1
        try:
            while page <= pages:
                queues, pages = management.queues(page)
                found += [(queue.name, queue.ready or 0) for queue in queues if is_quarantine(queue.name)]
                page += 1
        finally:
            management.close()
        return found

    def remarks(self, name: str) -> list[Caution]:
        """What somebody should know before messages of a queue, or of a quarantine, are moved, or deleted."""
        if not is_quarantine(name):
            return [Caution(BEHIND), *dangers(self._address, name)]
        if self._mode != "operate":
            return [Caution(BEHIND)]  # its ledger is read in operate mode only
        with self._carrier(reckoning(self._mode)) as carrier:
            ledger = Ledger(carrier, name)
            ledger.read()
            queue, held = (origin(name) or (name,))[0], carrier.length(name)[0]
            waiting = carrier.length(queue)[0] if carrier.there(queue) else None
        lost = [] if waiting is None else losses(self._address, queue, held, waiting)
        return [Caution(BEHIND), *doubts(ledger), *lost]

    def raw(self, name: str) -> Iterator[list[bytes]]:
        """All of a quarantine, as it was in its queue: each message as `amqp_content.packed` makes it."""
        if not is_quarantine(name):
            raise BrokerError("protocol", "On RabbitMQ what was purged is written to a file, and not what waits.")
        with self._carrier(reckoning(self._mode)) as carrier:
            there, _ = carrier.length(name)
            nature = nature_to_move(self._address, carrier.connection, name)
            intake = Intake(carrier, name, nature, there, held=there)
            while taken := intake.take():
                there -= len(taken)
                yield [packed(unlocked(each.properties).properties, each.body) for each in taken]
            carrier.give_back()
            if there > 0:
                missing = number_of(there, "message")
                raise BrokerError("busy", f"{missing} of the quarantine could not be read: somebody else has them now.")

    # --- moving ------------------------------------------------------------------------------------------------------

    def lock_away(self, queue: str, quarantine: str, grant: Grant) -> Iterator[int]:
        """Move all that waits in a queue when this begins into a quarantine; what workers take meanwhile is theirs."""
        for piece in self._into(queue, quarantine, grant):
            yield len(piece)

    def put_back(self, quarantine: str, queue: str, grant: Grant, count: int | None = None) -> Iterator[int]:
        """Move what is in a quarantine back, in its old order and priority, behind what came since.

        What may be in the queue already stays; see `remarks`. A quarantine that is empty then goes.
        """
        for piece in self._out_of(quarantine, queue, grant, count=count):
            yield len(piece)

    def move(
        self, source: str, target: str, ids: Sequence[str] | None, grant: Grant, by: str = ""
    ) -> Iterator[list[Item]]:
        """Move messages of a queue or a quarantine to another; single ones, by the ids of their tasks, of the latter.

        Between two queues they go ``by`` way of a quarantine, so that none is lost or doubled on the way.
        """
        if is_quarantine(source):
            wanted = None if ids is None else set(ids)
            for piece in self._out_of(source, target, grant, ids=wanted, all_of_it=True):
                yield _items(piece)
            yield [Item(id_, ok=False, text="It was not there any more.") for id_ in sorted(wanted or ())]
            return
        if ids is not None:
            raise BrokerError("protocol", _NOT_SINGLE)
        if is_quarantine(target):
            yield from map(_items, self._into(source, target, grant))
            return
        with self._carrier(LOOKING) as carrier:
            carrier.length(target)  # raises where it is not there, before anything is moved
        quarantine = by or quarantine_name(source)
        on_its_way = self._length(quarantine) or 0
        for piece in self._into(source, quarantine, grant):
            self.aside = quarantine
            on_its_way += len(piece)
            yield []
        for piece in self._out_of(quarantine, target, grant) if on_its_way else ():
            on_its_way -= len(piece)
            self.aside = quarantine if on_its_way else ""
            yield _items(piece)

    def destroy(self, quarantine: str, grant: Grant) -> Iterator[int]:
        """Really delete a quarantine that nobody consumes."""
        _require_quarantine(quarantine)
        with self._carrier(moving(quarantine, quarantine, quarantine, grant)) as carrier:
            carrier.lock(quarantine)
            carrier.length(quarantine)
            if not carrier.alone(quarantine):
                raise BrokerError("busy", "Somebody consumes this quarantine. It was not deleted.")
            # Not "if unused", which RabbitMQ can't do with quorum queues.
            yield carrier.delete(quarantine)
            Ledger(carrier, quarantine).delete()

    def give_up(self) -> None:
        """Begin nothing new; may be called from any thread. What is under way ends within a minute."""
        self._given_up = True

    def close(self) -> None:
        """Nothing to do: connections are those of what is done over them."""

    # --- how ---------------------------------------------------------------------------------------------------------

    def _into(self, queue: str, quarantine: str, grant: Grant) -> Iterator[list[Carried]]:
        _require_quarantine(quarantine)
        if len(quarantine.encode()) + len(LEDGER) > MAX_NAME:
            raise BrokerError(
                "name", "The name of this queue is too long for RabbitMQ to have one with the time added."
            )
        if grave := [each.text for each in dangers(self._address, quarantine) if each.grave]:
            raise BrokerError("permission", grave[0])
        with self._carrier(moving(queue, quarantine, quarantine, grant)) as carrier:
            count, _ = carrier.length(queue)
            if not count:
                return
            carrier.lock(quarantine)
            nature = nature_to_move(self._address, carrier.connection, queue)
            carrier.declare(quarantine, _like(nature))
            ledger = Ledger(carrier, quarantine, forgetful=nature.kind == "classic")
            ledger.open(new=True)
            expected, _ = carrier.length(quarantine)
            id_of = new_ids()

            def remade(taken: Taken) -> Carried:
                own, id_ = unlocked(taken.properties).properties, id_of(taken.tag)
                return Carried(taken, id_, own, locked(own, id_))

            def check(piece: list[Carried]) -> None:
                nonlocal expected
                expected += len(piece)
                there, _ = carrier.length(quarantine)
                if there < expected:
                    raise BrokerError(
                        "full",
                        f"The quarantine has {there:,} of {number_of(expected, 'message')}: somebody takes them out, "
                        "or a policy lets them expire. No more is moved, and what is not there yet stays in the queue.",
                    )

            intake = Intake(carrier, queue, nature, count, exactly=True)
            yield from Transfer(carrier, ledger, intake, quarantine, remade, check, self._on_command).pieces()
            ledger.close()

    def _out_of(
        self,
        quarantine: str,
        queue: str,
        grant: Grant,
        *,
        count: int | None = None,
        ids: set[str] | None = None,
        all_of_it: bool = False,
    ) -> Iterator[list[Carried]]:
        """What is found of ``ids`` is taken out of them; ``all_of_it`` is also what is doubtful."""
        _require_quarantine(quarantine)
        if is_quarantine(queue):
            raise BrokerError("protocol", "Messages of a quarantine are moved to a queue, and to no other quarantine.")
        with self._carrier(moving(quarantine, queue, quarantine, grant)) as carrier:
            carrier.length(queue)
            carrier.lock(quarantine)
            carrier.length(quarantine)
            alone = carrier.alone(quarantine)
            nature = nature_to_move(self._address, carrier.connection, quarantine)
            ledger = Ledger(carrier, quarantine, forgetful=nature.kind == "classic")
            ledger.read()
            if ledger.shaken and not all_of_it:
                raise BrokerError("busy", SHAKEN)
            ledger.open(new=False)
            there = carrier.settled(quarantine, ledger.held)
            doubtful = frozenset() if all_of_it else ledger.doubtful
            held = len(doubtful) if ids is None else there
            intake = Intake(carrier, quarantine, nature, there if count is None else count, held=held)

            def remade(taken: Taken) -> Carried | None:
                was = unlocked(taken.properties)
                if was.id in doubtful:
                    return None
                if ids is not None:
                    task = task_id(was.properties)
                    if task not in ids:
                        return None
                    ids.discard(task)
                    if not ids:
                        intake.end()
                sent = sendable(was.properties, self._address.username)
                return Carried(taken, was.id, was.properties, sent)

            yield from Transfer(carrier, ledger, intake, queue, remade, None, self._on_command).pieces()
            carrier.give_back()
            if ledger.held == 0 and alone:
                carrier.delete(quarantine)
                ledger.delete()
            else:
                ledger.close()

    @contextmanager
    def _carrier(self, guard: Guard) -> Iterator[Carrier]:
        if self._given_up:
            raise BrokerError("slow", "It was broken off.")
        carrier = Carrier(self._address, guard)
        broken = True
        try:
            yield carrier
            broken = False
        except GeneratorExit:
            broken = False
            raise
        except (*FAILURES, BrokerError) as error:
            raise carrier.translate(error) from error
        finally:
            self._on_command(2)
            carrier.close(broken=broken)


def _like(nature: Nature) -> dict[str, str | int]:
    """Arguments of a quarantine for what comes from a queue: it refuses what is too much, and drops nothing.

    What nobody takes out for long is to be on disk, not in RabbitMQ's memory: quorum queues have it there, and classic
    ones from RabbitMQ 3.12 on; before that, those that are called lazy.
    """
    told: dict[str, str | int] = {"x-queue-type": nature.kind, "x-overflow": "reject-publish"}
    if nature.kind == "quorum":
        told["x-delivery-limit"] = _LOOKS
    else:
        told["x-queue-mode"] = "lazy"
    if nature.priorities is not None:
        told["x-max-priority"] = nature.priorities
    return told


def _items(piece: list[Carried]) -> list[Item]:
    return [Item(task_id(each.own), ok=True) for each in piece]


def _require_quarantine(name: str) -> None:
    if not is_quarantine(name):
        raise BrokerError("name", f"{clean_word(name)!r} is not the name of a quarantine.")
