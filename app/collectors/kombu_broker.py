"""A broker that only kombu knows: its events, and nothing that would take messages."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from app.collectors.access import Grant
from app.collectors.broker import OnCommand, Remedies, Surveyor, Wake
from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError
from app.collectors.filler import Filler
from app.collectors.kombu_events import KombuAddress, KombuEvents
from app.collectors.messages import Page
from app.collectors.originals import Search
from app.collectors.publisher import Publisher
from app.collectors.queues import NoQueues, Queues
from app.collectors.subscriber import Subscriber
from app.collectors.vault import Vault
from app.models import wire
from app.models.profiles import Mode

_TAKES: Final = "Messages can't be looked at over this kind of broker without taking them."


class KombuBroker(msgspec.Struct, frozen=True):
    """See `Broker`."""

    address: KombuAddress

    @property
    def shown(self) -> str:
        return self.address.shown

    @property
    def jump_host(self) -> None: ...

    @property
    def source(self) -> str:
        return f"the exchange {clean_word(self.address.event_exchange)}"

    @property
    def signs_in(self) -> bool:
        return self.address.password is not None

    @property
    def remedies(self) -> Remedies:
        told = f"kombu's documentation of its transport {self.address.scheme!r} tells what it needs."
        return Remedies(told, told, told)

    def greet(self) -> str:
        return f"kombu's transport {self.address.scheme!r}"

    def events(self, wake: Wake, mode: Mode) -> Subscriber:
        del mode
        return KombuEvents(self.address, wake)

    def queues(self, names: Iterable[str], *, on_command: OnCommand) -> Queues:
        del names, on_command
        return NoQueues()

    def control(self, mode: Mode, *, on_command: OnCommand, grant: Grant | None = None) -> None:
        del mode, on_command, grant

    @property
    def product(self) -> None: ...

    @property
    def marks(self) -> bool:
        return False

    def peek(self, queue: str, mode: Mode, *, start: int, count: int, newest: bool) -> Page:
        del queue, mode, start, count, newest
        raise BrokerError("protocol", _TAKES)

    def survey(self, queue: str, wanted: str = "") -> Surveyor:
        del queue, wanted
        raise BrokerError("protocol", _TAKES)

    def vault(self, mode: Mode, *, on_command: OnCommand) -> Vault:
        del mode, on_command
        raise BrokerError("protocol", f"Messages can't be moved over kombu's transport {self.address.scheme!r}.")

    def find(self, ids: Iterable[str], queues: Iterable[str], mode: Mode, *, give_up: Callable[[], bool]) -> Search:
        del ids, queues, mode, give_up
        return Search({})

    def publisher(self, act: str, grant: Grant, *, on_command: OnCommand) -> Publisher:
        del act, grant, on_command
        raise BrokerError("protocol", "Cloche sends tasks over Redis and RabbitMQ only.")

    def filler(self, act: str, queue: str, grant: Grant, *, readdress: bool, on_command: OnCommand) -> Filler:
        del act, queue, grant, readdress, on_command
        raise BrokerError("protocol", _TAKES)

    def acting(self, queue: str) -> wire.Found:
        del queue
        return wire.Found("acting", None, "it is done over Redis and RabbitMQ only. Watching works.")

    def drop(self) -> None: ...
