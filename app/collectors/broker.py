"""What may be done at a broker, whatever its kind."""

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from app.collectors.access import Grant
from app.collectors.control import Control
from app.collectors.filler import Filler, Product
from app.collectors.messages import Page
from app.collectors.originals import Search
from app.collectors.publisher import Publisher
from app.collectors.queues import Queues
from app.collectors.ssh import JumpHost
from app.collectors.subscriber import Subscriber
from app.collectors.vault import Vault
from app.models import wire
from app.models.profiles import Mode
from app.models.surveys import Survey

Wake = Callable[[], None]
OnCommand = Callable[[int], None]


class Remedies(msgspec.Struct, frozen=True):
    """What to do about what a broker refuses."""

    sign_in: str
    listen: str
    queues: str
    #: To have workers answer; and to have queues described, "" where no other interface of the broker does.
    ask: str = "Without it, pools and slots stay unknown. Watching works."
    describe: str = ""


class Surveyor(Protocol):
    """Looks through a queue, a piece at a time; see `RedisSurvey`. Not thread-safe."""

    survey: Survey

    def look(self) -> None:
        """Look at one more piece. Raises `BrokerError`."""

    def rest(self) -> None:
        """Close the connection; the next look opens another."""


class Broker(Protocol):
    """One broker under one address: what may be done there. No connection is made before one of these is used."""

    @property
    def shown(self) -> str:
        """The address without password, for people."""

    @property
    def jump_host(self) -> JumpHost | None:
        """What all connections go through, if they do."""

    @property
    def source(self) -> str:
        """Where events come from there, by its name in the broker."""

    @property
    def signs_in(self) -> bool:
        """Whether there is a password to sign in with."""

    @property
    def remedies(self) -> Remedies:
        """What to do about refusals."""

    def greet(self) -> str:
        """Connect, sign in, and leave; what the server calls itself, or "". Raises `BrokerError`."""

    def events(self, wake: Wake, mode: Mode) -> Subscriber:
        """A listener to its events, not started."""

    def queues(self, names: Iterable[str], *, on_command: OnCommand) -> Queues:
        """What looks at its queues; ``names`` are always shown."""

    def control(self, mode: Mode, *, on_command: OnCommand, grant: Grant | None = None) -> Control | None:
        """What asks its workers, and tells them what to do under a grant; None where that is not possible."""

    @property
    def product(self) -> Product | None:
        """Whose messages it has, where these can be put into files and back."""

    @property
    def marks(self) -> bool:
        """Whether messages are marked by a look, so that it takes operate mode and somebody who wants it."""

    def peek(self, queue: str, mode: Mode, *, start: int, count: int, newest: bool) -> Page:
        """Messages that wait in a queue, looked at and not taken; see `redis_messages.peek`. Raises `BrokerError`."""

    def survey(self, queue: str, wanted: str = "") -> Surveyor:
        """What looks through a queue. Raises `BrokerError` where that can't be done."""

    def vault(self, mode: Mode, *, on_command: OnCommand) -> Vault:
        """What moves its messages. Raises `BrokerError` where that can't be done."""

    def find(self, ids: Iterable[str], queues: Iterable[str], mode: Mode, *, give_up: Callable[[], bool]) -> Search:
        """The messages of tasks, as they lie in the broker, by the ids; of those that can be found without taking any.

        It looks into these ``queues`` first, as far as the mode lets it. Raises `BrokerError`.
        """

    def publisher(self, act: str, grant: Grant, *, on_command: OnCommand) -> Publisher:
        """What publishes the messages of one act. Raises `BrokerError` where that can't be done."""

    def filler(self, act: str, queue: str, grant: Grant, *, readdress: bool, on_command: OnCommand) -> Filler:
        """What puts messages of a file into a queue, ``readdress`` where that is not theirs.

        Raises `BrokerError` where that can't be done.
        """

    def acting(self, queue: str) -> wire.Found:
        """Whether the user may do what acts take to a queue, as far as that can be told without doing it.

        Raises `BrokerError`.
        """

    def drop(self) -> None:
        """Break off connections that may be dead since the computer slept."""
