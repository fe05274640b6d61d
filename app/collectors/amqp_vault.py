"""Quarantines on RabbitMQ: durable queues of ours, into which messages are carried, and from which they come back."""

import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

from app.collectors.access import Grant
from app.collectors.amqp import FAILURES, MAX_NAME, AmqpAddress
from app.collectors.amqp_carrier import MOST, MOST_HELD, Carrier, Ledger, Pieces, Taken
from app.collectors.amqp_content import locked, packed, sendable, task_id, unlocked
from app.collectors.amqp_guard import LEDGER, LOOKING, Guard, is_quarantine, moving, reckoning
from app.collectors.amqp_messages import nature_of
from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError
from app.collectors.management import Nature
from app.collectors.vault import Contents, Quarantine
from app.models.acts import Caution, Item
from app.models.formats import number_of
from app.models.profiles import Mode
from app.models.quarantines import origin, quarantine_name

#: What of a policy would take messages out of a quarantine. One that bounds its length can't: what is too much is
#: refused there, and stays where it was.
_EATS: Final = ("message-ttl", "expires")
#: How often a message of a quarantine may be looked at, where RabbitMQ counts that (it would drop it after 20).
_LOOKS: Final = 1_000_000

BEHIND: Final = (
    "RabbitMQ can't put messages in front of others: those that are put back go behind what came since, though before "
    "what is of a lower priority, where the queue has priorities. Their time to live, if they have one, begins anew."
)
_UNSEEN: Final = (
    "Whether a policy lets messages of a quarantine expire can't be seen without the management API (management_url)."
)
_DOUBTFUL: Final = (
    "{} may also be in the queue: something broke off while they were moved. They stay in the quarantine, and are not "
    "put back. Nothing else is missing there, so it can be deleted then; or move them, to have them all the same."
)
_SHAKEN: Final = (
    "RabbitMQ itself ended while messages were moved, and then has some again that it had given away: any of this "
    "quarantine may also be in the queue. So none is put back. Compare the two; then move the quarantine as a whole, "
    "or delete it."
)
_AGED: Final = (
    "RabbitMQ was started again since. If it was killed within moments of the purge, the queue may have messages again "
    "that are in this quarantine."
)
_UNDER_WAY: Final = (
    f"Nothing is lost. At most {MOST} messages that were under way may be in both places: which these are is noted in "
    "RabbitMQ, and Cloche does not put them back twice."
)
_TOO_MANY: Final = (
    f"RabbitMQ hands out at most {MOST_HELD:,} messages of a quorum queue before some are taken out of it, and this "
    "quarantine has more. It can be put back as a whole, or so many messages of it."
)
_NOT_SINGLE: Final = (
    "RabbitMQ can't take single messages out of a queue without taking all that are before them. Purge the queue, and "
    "move single ones from the quarantine."
)


class _Carried(msgspec.Struct):
    """A message on its way: how it was taken, its ``id`` in the quarantine, its own properties, and those to send."""

    taken: Taken
    id: str
    own: bytes
    sent: bytes


#: What becomes of a message that was taken; None to leave it where it is.
_Remake = Callable[[Taken], _Carried | None]


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

    # --- looking -----------------------------------------------------------------------------------------------------

    def contents(self, name: str, samples: int = 10) -> Contents:
        """How many messages wait in a queue or a quarantine; no samples, as a look would mark them."""
        del samples
        with self._carrier(LOOKING) as carrier:
            return Contents(carrier.length(name)[0])

    def find(self, name: str, ids: Collection[str]) -> None:
        """Nothing: a look would mark all messages."""
        del name, ids

    def quarantines(self) -> list[Quarantine]:
        """Those that are there, as far as the management API tells, which alone can."""
        management = self._address.management
        if management is None:
            return []
        found, page, pages = [], 1, 1
        try:
            while page <= pages:
                queues, pages = management.queues(page)
                found += [(queue.name, queue.ready or 0) for queue in queues if not queue.name.endswith(LEDGER)]
                page += 1
        finally:
            management.close()
        parts = [(name, origin(name), total) for name, total in found]
        return [Quarantine(name, *part, total) for name, part, total in parts if part is not None]

    def remarks(self, name: str) -> list[Caution]:
        """What somebody should know before messages of a queue, or of a quarantine, are moved, or deleted."""
        if not is_quarantine(name):
            return [Caution(BEHIND), *self._dangers(name)]
        if self._mode != "operate":
            return [Caution(BEHIND)]  # its ledger is read in operate mode only
        with self._carrier(reckoning(self._mode)) as carrier:
            ledger = Ledger(carrier, name)
            ledger.read()
        told = [Caution(BEHIND)]
        if ledger.shaken:
            told.append(Caution(_SHAKEN, grave=True))
        elif ledger.doubtful:
            told.append(Caution(_DOUBTFUL.format(number_of(len(ledger.doubtful), "message")), grave=True))
        if ledger.aged and not ledger.shaken:
            told.append(Caution(_AGED))
        return told

    def raw(self, name: str) -> Iterator[list[bytes]]:
        """All of a quarantine, as it was in its queue: each message as `amqp_content.packed` makes it."""
        if not is_quarantine(name):
            raise BrokerError("protocol", "On RabbitMQ what was purged is written to a file, and not what waits.")
        with self._carrier(reckoning(self._mode)) as carrier:
            there, _ = carrier.length(name)
            self._begin(carrier, name, self._nature(carrier, name), there)
            pieces = Pieces(there)
            while pieces.next and (taken := carrier.take(name, pieces.next)):
                pieces.took(taken)
                yield [packed(unlocked(each.properties).properties, each.body) for each in taken]
            carrier.give_back()

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

    def move(self, source: str, target: str, ids: Sequence[str] | None, grant: Grant) -> Iterator[list[Item]]:
        """Move messages of a queue or a quarantine to another; single ones, by the ids of their tasks, of the latter.

        Between two queues they go by way of a quarantine, so that none is lost or doubled on the way.
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
        quarantine = quarantine_name(source)
        moved = 0
        for piece in self._into(source, quarantine, grant):
            moved += len(piece)
            yield []
        if moved:
            yield from map(_items, self._out_of(quarantine, target, grant))

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
        """Begin nothing new; may be called from any thread. What is under way ends within the time for an answer."""
        self._given_up = True

    def close(self) -> None:
        """Nothing to do: connections are those of what is done over them."""

    # --- how ---------------------------------------------------------------------------------------------------------

    def _into(self, queue: str, quarantine: str, grant: Grant) -> Iterator[list[_Carried]]:
        _require_quarantine(quarantine)
        if len(quarantine.encode()) + len(LEDGER) > MAX_NAME:
            raise BrokerError(
                "name", "The name of this queue is too long for RabbitMQ to have one with the time added."
            )
        if dangers := [each.text for each in self._dangers(quarantine) if each.grave]:
            raise BrokerError("permission", dangers[0])
        with self._carrier(moving(queue, quarantine, quarantine, grant)) as carrier:
            count, _ = carrier.length(queue)
            if not count:
                return
            carrier.lock(quarantine)
            nature = self._nature(carrier, queue)
            carrier.declare(quarantine, _like(nature))
            ledger = Ledger(carrier, quarantine, forgetful=nature.kind == "classic")
            ledger.open(new=True)
            self._begin(carrier, queue, nature, 0)
            expected, _ = carrier.length(quarantine)
            run = uuid.uuid4().hex[:12]

            def remade(taken: Taken) -> _Carried:
                own, id_ = unlocked(taken.properties).properties, f"{run}:{taken.tag}"
                return _Carried(taken, id_, own, locked(own, id_))

            def check(piece: list[_Carried]) -> None:
                nonlocal expected
                expected += len(piece)
                there, _ = carrier.length(quarantine)
                if there < expected:
                    raise BrokerError(
                        "full",
                        f"The quarantine has {there:,} of {number_of(expected, 'message')}: somebody takes them out, "
                        "or a policy lets them expire. No more is moved, and what is not there yet stays in the queue.",
                    )

            yield from self._carry(carrier, ledger, queue, quarantine, Pieces(count), remade, check)
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
    ) -> Iterator[list[_Carried]]:
        """What is found of ``ids`` is taken out of them; ``all_of_it`` is also what is doubtful."""
        _require_quarantine(quarantine)
        if is_quarantine(queue):
            raise BrokerError("protocol", "Messages of a quarantine are moved to a queue, and to no other quarantine.")
        with self._carrier(moving(quarantine, queue, quarantine, grant)) as carrier:
            carrier.length(queue)
            carrier.lock(quarantine)
            carrier.length(quarantine)
            alone = carrier.alone(quarantine)
            nature = self._nature(carrier, quarantine)
            ledger = Ledger(carrier, quarantine, forgetful=nature.kind == "classic")
            ledger.read()
            if ledger.shaken and not all_of_it:
                raise BrokerError("busy", _SHAKEN)
            ledger.open(new=False)
            there = carrier.settled(quarantine, ledger.held)
            held = frozenset() if all_of_it else ledger.doubtful
            self._begin(carrier, quarantine, nature, len(held) if ids is None else there)
            pieces = Pieces(there if count is None else count)

            def remade(taken: Taken) -> _Carried | None:
                was = unlocked(taken.properties)
                if was.id in held:
                    return None
                if ids is not None:
                    task = task_id(was.properties)
                    if task not in ids:
                        return None
                    ids.discard(task)
                    if not ids:
                        pieces.end()
                sent = sendable(was.properties, self._address.username)
                return _Carried(taken, was.id, was.properties, sent)

            yield from self._carry(carrier, ledger, quarantine, queue, pieces, remade, None)
            carrier.give_back()
            if ledger.held == 0 and alone:
                carrier.delete(quarantine)
                ledger.delete()
            else:
                ledger.close()

    def _carry(
        self,
        carrier: Carrier,
        ledger: Ledger,
        source: str,
        target: str,
        pieces: Pieces,
        remade: _Remake,
        check: Callable[[list[_Carried]], None] | None,
    ) -> Iterator[list[_Carried]]:
        while pieces.next and (taken := carrier.take(source, pieces.next)):
            piece = [carried for each in taken if (carried := remade(each)) is not None]
            pieces.took(taken, len(taken) - len(piece))
            if not piece:
                continue
            try:
                for each in piece:
                    carrier.publish(target, each.sent, each.taken.body)
                # Only on the way into a quarantine there is something to check.
                ledger.write((each.id for each in piece if each.id), len(piece) if check else 0)
                carrier.commit()
                if check:
                    check(piece)
                carrier.acknowledge(each.taken.tag for each in piece)
                ledger.doubtful -= {each.id for each in piece}
                ledger.write((), 0 if check else -len(piece))
                carrier.commit()
            except (*FAILURES, BrokerError) as error:
                said = carrier.translate(error)
                raise BrokerError(said.fault, f"{said} {_UNDER_WAY}") from error
            self._on_command(2 * len(piece) + 4)
            try:
                yield piece
            except GeneratorExit:
                # No more is wanted. Where that can't be noted, the ledger says less good than is.
                with suppress(BrokerError, *FAILURES):
                    ledger.close()
                raise

    def _begin(self, carrier: Carrier, queue: str, nature: Nature, held: int) -> None:
        """Begin to take messages of a queue, of which so many may be held besides those of a piece."""
        if nature.kind != "quorum":
            return
        if held > MOST_HELD - MOST:
            raise BrokerError("protocol", _TOO_MANY)
        carrier.consume(queue, held + MOST)

    def _nature(self, carrier: Carrier, queue: str) -> Nature:
        """What the queue is, and its quarantine is to be. Raises `BrokerError` where there can't be one."""
        nature = nature_of(carrier.connection, queue)
        if nature is None and (management := self._address.management) is not None:
            try:
                nature = management.nature(queue)
            finally:
                management.close()
        if nature is None:
            raise BrokerError(
                "permission",
                "It can't be told what kind of queue this is, so no quarantine can be made like it. Give this user the "
                "right to configure the queue, or the address of the management API (management_url).",
            )
        if nature.kind not in ("classic", "quorum"):
            raise BrokerError("protocol", f"What is in a queue of the kind “{nature.kind}” can't be taken out of it.")
        return nature

    def _dangers(self, name: str) -> list[Caution]:
        """What a policy would do to a quarantine of a queue, or to one that is named."""
        management = self._address.management
        if management is None:
            return [Caution(_UNSEEN)]
        quarantine = name if is_quarantine(name) else quarantine_name(name)
        try:
            policies = management.policies(quarantine)
        except BrokerError as error:
            return [Caution(f"{_UNSEEN} {error}")]
        finally:
            management.close()
        return [
            Caution(
                f"The policy {clean_word(policy.name)!r} would have messages expire in the quarantine {quarantine} "
                f"too, by its {bad[0]}. Make its pattern ({clean_word(policy.pattern)}) leave out such names.",
                grave=True,
            )
            for policy in policies
            if (bad := [key for key in _EATS if key in policy.definition])
        ]

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
    """Arguments of a quarantine for what comes from a queue: it refuses what is too much, and drops nothing."""
    told: dict[str, str | int] = {"x-queue-type": nature.kind, "x-overflow": "reject-publish"}
    if nature.kind == "quorum":
        told["x-delivery-limit"] = _LOOKS
    if nature.priorities is not None:
        told["x-max-priority"] = nature.priorities
    return told


def _items(piece: list[_Carried]) -> list[Item]:
    return [Item(task_id(each.own), ok=True) for each in piece]


def _require_quarantine(name: str) -> None:
    if not is_quarantine(name):
        raise BrokerError("name", f"{clean_word(name)!r} is not the name of a quarantine.")
