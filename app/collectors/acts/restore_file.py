"""Puts messages back that are in a file: a copy of what was purged, or what was exported."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from app.collectors.access import Grant
from app.collectors.acts.act import Act, Impossible, Reach, Step
from app.collectors.acts.vault_act import messages_of, samples
from app.collectors.filler import Filler, id_in, is_readable, message_in, product_of
from app.models import acts, formats
from app.models.acts import Caution, Outcome, Plan, RestoreFile
from app.models.backups import BackupError, BackupReader
from app.models.quarantines import origin

#: Messages of a file that are put into a RabbitMQ at most: each is written down by itself there.
MOST_OF_RABBITMQ: Final = 100_000
_SAMPLES: Final = 10
#: Bytes of messages that are put in at a time, and messages after which it is looked whether to stop.
_PIECE: Final = 1 << 20
_STEP: Final = 20

_NOT_COMPARED: Final = (
    "RabbitMQ does not show what waits in a queue: whether these messages are there already can't be told."
)
_LEFT_OUT: Final = "What is in a quarantine is left out."
_NOT_LEFT_OUT: Final = (
    "Nor can it of all quarantines, which RabbitMQ tells of by its management API only (management_url)."
)
_NOT_ALL_COMPARED: Final = (
    "Only a part of the messages in this broker could be looked at: some of the file may be there already, and would "
    "run twice."
)


class RestoringFile(Act[RestoreFile]):
    """Puts the messages of a file into their queue, or another one, behind what waits there."""

    def __init__(self, wish: RestoreFile, reach: Reach) -> None:
        super().__init__(wish, reach)
        self._filler: Filler | None = None
        self._given_up = False
        self._queue = ""
        self._count = self._back = 0
        #: Places in the file of messages that are left out.
        self._left_out: frozenset[int] = frozenset()
        #: Whether all was looked at where they could be.
        self._compared = True

    def look(self) -> Plan:
        reader = self._opened()
        about, home = reader.about, _home(reader)
        self._queue = self.wish.queue or home
        if origin(self._queue) is not None:
            raise Impossible(f"{self._queue} is a quarantine. Name a queue.")
        ids, shown = self._read(reader)
        there = frozenset[str]() if self.wish.again else self._there(ids, [self._queue, home])
        self._left_out = frozenset(place for place, id_ in enumerate(ids) if id_ in there)
        self._count = len(ids) - len(self._left_out)
        if not self._count:
            raise Impossible(
                f"All {messages_of(len(ids))} of the file are in the broker already." if ids else "The file is empty."
            )
        vault = self.reach.broker.vault(self.reach.access.mode, on_command=self.reach.on_command)
        try:
            waiting = vault.contents(self._queue, samples=0).total
        finally:
            vault.close()
        facts = [
            ("File", self.wish.file),
            ("Holds", f"{messages_of(len(ids))} of {about.queue} on {about.broker}"),
            ("Made", formats.date_time(about.made)),
            ("Left out", f"{messages_of(len(self._left_out))}, in the broker already" if self._left_out else ""),
            ("Waiting now", f"{messages_of(waiting)} in {self._queue}, which come before"),
        ]
        self.wish = msgspec.structs.replace(self.wish, queue=self._queue, digest=reader.digest)
        return Plan(
            title=f"Put {messages_of(self._count)} of a file into the queue {self._queue}",
            verb="Restore",
            count=self._count,
            things="message",
            facts=[fact for fact in facts if fact[1]],
            samples=samples(message_in(raw) for raw in shown),
            cautions=self._cautions(home, about.broker),
            undo="To undo it, purge the queue: what workers took by then has run.",
        )

    def still(self) -> int:
        self._opened()
        return self._count

    @property
    def resolved(self) -> RestoreFile:
        return self.wish

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        del done  # the broker knows how far it came
        reader = self._opened()
        readdress = self._queue != _home(reader)
        self._filler = filler = self.reach.broker.filler(
            act, self._queue, grant, readdress=readdress, on_command=self.reach.on_command
        )
        unsaid = 0
        for first, after, raws in self._pieces(reader, filler.reached(), filler.at_once):
            filler.fill(first, after, raws)
            self._back += len(raws)
            unsaid += len(raws)
            if unsaid >= _STEP:
                yield Step(others=unsaid)
                unsaid = 0
        if unsaid:
            yield Step(others=unsaid)

    def told(self, outcome: Outcome) -> Outcome:
        doubt = self._filler.doubt if self._filler is not None else ""
        back = f"{messages_of(self._back)} went into {self._queue}." if self._back else ""
        return acts.with_text(outcome, " ".join(filter(None, (outcome.text, back, doubt))))

    def settle(self) -> None:
        if self._filler is not None:
            self._filler.settle()

    def give_up(self) -> None:
        self._given_up = True

    def close(self) -> None:
        if self._filler is not None:
            self._filler.close()

    def _opened(self) -> BackupReader:
        """The file, which is whole, and the one that was planned with. Raises `Impossible`."""
        try:
            reader = BackupReader(Path(self.wish.file))
            reader.verify()
        except BackupError as error:
            raise Impossible(f"{error} Nothing was sent of it.") from error
        if self.wish.digest not in ("", reader.digest):
            raise Impossible(f"{self.wish.file} is another file than when this was planned. Nothing was sent of it.")
        return reader

    def _read(self, reader: BackupReader) -> tuple[list[str], list[bytes]]:
        """The ids of all messages, and some of these. Raises `Impossible` where they are of another kind of broker."""
        ids, shown = list[str](), list[bytes]()
        product = self.reach.broker.product
        for raw in _messages(reader):
            made_by = product_of(raw)
            if made_by != product:
                of = f"a {made_by}" if made_by else "a broker that is not known"
                raise Impossible(f"The file has messages of {of}, and this is a {product or 'broker of another kind'}.")
            if not is_readable(raw):
                raise Impossible(f"Message {len(ids) + 1:,} of the file can't be read, so that none is put back.")
            ids.append(id_in(raw))
            if len(shown) < _SAMPLES:
                shown.append(raw)
        if product == "RabbitMQ" and len(ids) > MOST_OF_RABBITMQ:
            raise Impossible(f"The file has more than {MOST_OF_RABBITMQ:,} messages. Restore the quarantine instead.")
        return ids, shown

    def _there(self, ids: list[str], queues: list[str]) -> frozenset[str]:
        """Those that wait in these queues, are with a worker, or in a quarantine, as far as a look harms nobody."""
        wanted = filter(None, ids)
        mode = self.reach.access.mode
        search = self.reach.broker.find(wanted, dict.fromkeys(queues), mode, give_up=lambda: self._given_up)
        self._compared = search.complete
        return frozenset(search.found)

    def _pieces(self, reader: BackupReader, reached: int, most: int) -> Iterator[tuple[int, int, list[bytes]]]:
        """What is put in at a time: from which message of the file, to before which one, and those of them."""
        first, size, raws = reached, 0, list[bytes]()
        place = -1
        for place, raw in enumerate(_messages(reader)):
            if place < reached or place in self._left_out:
                continue
            if raws and (len(raws) == most or size + len(raw) > _PIECE):
                yield first, place, raws
                first, size, raws = place, 0, []
            raws.append(raw)
            size += len(raw)
        if raws:
            yield first, place + 1, raws

    def _cautions(self, home: str, broker: str) -> list[Caution]:
        cautions = [Caution("Workers that consume the queue begin to run these tasks at once.")]
        if self.wish.again:
            cautions.append(Caution("Messages that are there already are put in a second time.", grave=True))
        elif self.reach.broker.marks:
            told = _LEFT_OUT if self._compared else _NOT_LEFT_OUT
            cautions.append(Caution(f"{_NOT_COMPARED} {told}", grave=True))
        elif not self._compared:
            cautions.append(Caution(_NOT_ALL_COMPARED, grave=True))
        if broker != self.reach.broker.shown:
            cautions.append(Caution(f"The file was made of another broker, {broker}.", grave=True))
        if self._queue != home:
            cautions.append(Caution(f"They were in the queue {home}, and go to {self._queue}."))
        return cautions


def _messages(reader: BackupReader) -> Iterator[bytes]:
    """The messages of a file. Raises `Impossible` where it is gone or changed by then."""
    try:
        yield from reader.messages()
    except BackupError as error:
        raise Impossible(f"{error} Nothing more is sent of it.") from error


def _home(reader: BackupReader) -> str:
    """The queue that the messages of a file are of."""
    known = origin(reader.about.queue)
    return reader.about.queue if known is None else known[0]
