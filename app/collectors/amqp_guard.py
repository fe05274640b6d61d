"""What may be said to a RabbitMQ at all: a closed list of AMQP methods for each purpose, held where bytes leave.

As on Redis (`guard`), that looking is harmless is left neither to the code that looks nor to the library it uses.
Frames that hold another method, or one of these about somebody else's queue or exchange, are not sent.
"""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from amqp import spec
from amqp.serialization import loads

from app.collectors.access import Grant
from app.collectors.guard import NotAllowed
from app.collectors.orders import method_of, permits
from app.models.profiles import Mode
from app.models.quarantines import MARK

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
#: Bytes around a frame's payload: type, channel and size before it, its end mark behind.
_BEFORE, _AROUND = 7, 8
_FRAME_END: Final = 0xCE
#: How a method begins: its class and itself.
_SIGNATURE: Final = struct.Struct(">HH")

#: Numbers of a method's class and of the method.
Signature = tuple[int, int]
#: Tells whether a method may be said with such arguments.
Allows = Callable[[Sequence[Any]], bool]

#: What every connection says to sign in, to open its channels, and to leave.
_GREETING: Final = frozenset(
    {
        spec.Connection.StartOk, spec.Connection.TuneOk, spec.Connection.Open, spec.Connection.Close,
        spec.Connection.CloseOk, spec.Channel.Open, spec.Channel.FlowOk, spec.Channel.Close, spec.Channel.CloseOk,
    }
)  # fmt: skip
#: How py-amqp packs the arguments of the other methods that are used here.
_FORMS: Final = {
    spec.Exchange.Declare: "BssbbbbbF",
    spec.Queue.Declare: "BsbbbbbF",
    spec.Queue.Bind: "BsssbF",
    spec.Basic.Consume: "BssbbbbF",
    spec.Basic.Cancel: "sb",
    spec.Basic.Publish: "Bssbb",
    spec.Basic.Get: "Bsb",
    spec.Basic.Ack: "Lb",
    spec.Basic.Qos: "lBb",
    spec.Queue.Delete: "Bsbbb",
    spec.Confirm.Select: "b",
    spec.Tx.Select: "",
    spec.Tx.Commit: "",
}
#: A kind of queue that there is not.
NO_KIND: Final = "cloche-asks"
#: What follows the name of a quarantine in that of its ledger, which says what may be in two places.
LEDGER: Final = ".ledger"
#: The same of an exclusive queue, whose owner alone moves messages of that quarantine.
LOCK: Final = ".lock"
#: Names of quarantines.
_QUARANTINE: Final = re.compile(rf".+{re.escape(MARK)}\d{{8}}T\d{{9}}Z", re.DOTALL)
#: What a queue of ours has in any case (SAFETY F31): it goes by itself, and can't grow meanwhile.
BOUNDS: Final = frozenset({"x-expires", "x-max-length", "x-max-length-bytes"})


class Guard:
    """Lets through what signs in and what it was made with, each method with arguments of the allowed kind.

    Of what is published, ``says`` looks at each frame of a body; without it any goes through.
    """

    def __init__(
        self, allowed: Mapping[Signature, Allows] | None = None, says: Callable[[bytes], bool] | None = None
    ) -> None:
        self._allowed = allowed or {}
        self._says = says

    @property
    def methods(self) -> frozenset[Signature]:
        """What may be said besides signing in and leaving, if with the right arguments."""
        return frozenset(self._allowed)

    def check(self, data: bytes | memoryview) -> None:
        """Look at whole frames that are about to be sent. Raises `NotAllowed`."""
        at = 0
        while at < len(data):
            if len(data) - at < _AROUND:
                raise NotAllowed("Cloche does not send RabbitMQ a part of a frame.")
            kind, _, size = struct.unpack_from(">BHI", data, at)
            start, at = at + _BEFORE, at + _AROUND + size
            if at > len(data) or data[at - 1] != _FRAME_END:
                raise NotAllowed("Cloche does not send RabbitMQ a part of a frame.")
            if kind == _METHOD:
                self._check_method(bytes(data[start : at - 1]))
            elif kind != _HEARTBEAT and not (kind in (_HEADER, _BODY) and spec.Basic.Publish in self._allowed):
                raise NotAllowed(f"Cloche does not send RabbitMQ frames of type {kind} here.")
            elif kind == _BODY and self._says is not None and not self._says(bytes(data[start : at - 1])):
                raise NotAllowed("Cloche does not send RabbitMQ this message here.")

    def _check_method(self, payload: bytes) -> None:
        signature: Signature = _SIGNATURE.unpack_from(payload) if len(payload) >= _SIGNATURE.size else (0, 0)
        if signature not in _GREETING and not self._may(signature, payload):
            raise NotAllowed(f"Cloche does not send RabbitMQ the method {signature} here, or not with such arguments.")

    def _may(self, signature: Signature, payload: bytes) -> bool:
        allows = self._allowed.get(signature)
        if allows is None:
            return False
        try:
            arguments = _arguments(signature, payload)
        except (struct.error, LookupError, ValueError):
            return False
        return allows(arguments)


@lru_cache(64)
def _arguments(signature: Signature, payload: bytes) -> Sequence[Any]:
    """What a method is said with; who carries messages says the same again and again."""
    arguments: Sequence[Any] = loads(_FORMS[signature], payload, 4)[0]
    return arguments


def listener(exchange: str) -> str:
    """What the names of our queues for events begin with: rights are often granted on names like the exchange's."""
    return f"{exchange[:200]}.cloche."


def _anything(_: Sequence[Any]) -> bool:
    return True


def _asks_for_a_queue(arguments: Sequence[Any]) -> bool:
    """Whether this declaration is a question (``passive``) and changes nothing."""
    return bool(arguments[2])


def _asks_for_the_kind(arguments: Sequence[Any]) -> bool:
    """Whether this declaration is of a kind that there is not: it can make no queue, and its refusal tells of one."""
    return bool(arguments[7].get("x-queue-type") == NO_KIND)


def _declares(is_ours: Callable[[str], bool], is_asked_for: Callable[[str], bool]) -> Allows:
    """A queue of ours, which goes with our connection and is bounded; or a question about one of certain names."""

    def declares(arguments: Sequence[Any]) -> bool:
        _, name, passive, durable, exclusive, auto_delete, _, table = arguments
        if passive:
            return is_asked_for(name)
        return is_ours(name) and exclusive and auto_delete and not durable and table.keys() >= BOUNDS

    return declares


def _declares_exchange(name: str, kind: str, *, durable: bool, asks_for: frozenset[str], makes: bool) -> Allows:
    """Questions about exchanges; and one that is made as Celery makes it, where it may be made."""

    def declares(arguments: Sequence[Any]) -> bool:
        _, declared, its_kind, passive, its_durable, auto_delete, internal, *_ = arguments
        if passive:
            return declared in asks_for
        as_celery = (its_kind, its_durable, auto_delete, internal) == (kind, durable, False, False)
        return makes and declared == name and as_celery

    return declares


def _binds(is_ours: Callable[[str], bool], exchange: str) -> Allows:
    return lambda arguments: is_ours(arguments[1]) and arguments[2] == exchange


def _consumes(is_ours: Callable[[str], bool]) -> Allows:
    return lambda arguments: is_ours(arguments[1])


#: Who asks for no more than its name, and who looks at queues.
SIGNING_IN: Final = Guard()
LOOKING: Final = Guard({spec.Queue.Declare: _asks_for_a_queue})


def listening(exchange: str, mode: Mode) -> Guard:
    """Listening to events: a queue of our own at the event exchange, which is not made in passive mode."""
    prefix = listener(exchange)

    def is_ours(name: str) -> bool:
        return name.startswith(prefix)

    makes = mode != "passive"
    return Guard(
        {
            spec.Exchange.Declare: _declares_exchange(
                exchange, "topic", durable=True, asks_for=frozenset({exchange}), makes=makes
            ),
            spec.Queue.Declare: _declares(is_ours, is_ours),
            spec.Queue.Bind: _binds(is_ours, exchange),
            spec.Basic.Consume: _consumes(is_ours),
        }
    )


def asking(exchange: str, mode: Mode, grant: Grant | None = None) -> Guard:
    """Asking workers over the control ``exchange``, which passive mode does not: a queue of our own for answers.

    What workers are told to do goes through as long as a ``grant`` holds, each request whole in a frame; see `permits`.
    """
    if mode == "passive":
        return SIGNING_IN
    mailboxes = f"{exchange}.pidbox"
    answers = f"reply.{mailboxes}"

    def is_ours(name: str) -> bool:
        return name.endswith(f".{answers}")

    def is_mailbox(name: str) -> bool:
        return name.endswith(f".{mailboxes}")

    return Guard(
        {
            spec.Exchange.Declare: _declares_exchange(
                answers, "direct", durable=False, asks_for=frozenset({mailboxes, answers}), makes=True
            ),
            spec.Queue.Declare: _declares(is_ours, is_mailbox),
            spec.Queue.Bind: _binds(is_ours, answers),
            spec.Basic.Consume: _consumes(is_ours),
            spec.Basic.Cancel: _anything,
            spec.Basic.Publish: lambda arguments: tuple(arguments[1:3]) == (mailboxes, ""),
        },
        lambda body: permits(method_of(body), grant),
    )


def peeking(mode: Mode) -> Guard:
    """Looking at messages, which marks them as redelivered, so only in operate mode.

    None can be acknowledged, and closing the channel puts all back to where they were.
    """
    if mode != "operate":
        return SIGNING_IN
    return Guard(
        {
            spec.Queue.Declare: lambda arguments: _asks_for_a_queue(arguments) or _asks_for_the_kind(arguments),
            spec.Basic.Get: lambda arguments: not arguments[2],
            spec.Basic.Consume: lambda arguments: not arguments[4],
            spec.Basic.Qos: _bounds_a_consumer,
        }
    )


def is_quarantine(name: str) -> bool:
    """Whether a queue is one that Cloche made to keep messages in; not the ledger of one."""
    return _QUARANTINE.fullmatch(name) is not None


def _bounds_a_consumer(arguments: Sequence[Any]) -> bool:
    """Whether this is about one consumer of ours, and not the whole connection."""
    return not arguments[2]


def _is_ours_to_read(arguments: Sequence[Any]) -> bool:
    return is_quarantine(arguments[1].removesuffix(LEDGER))


def reckoning(mode: Mode) -> Guard:
    """Looking at queues, and in operate mode into quarantines and their ledgers, where nothing is acknowledged.

    They are queues of ours, and who looks there takes nothing from anybody.
    """
    if mode != "operate":
        return LOOKING
    return Guard(
        {
            spec.Queue.Declare: lambda arguments: (
                _asks_for_a_queue(arguments) or (_is_ours_to_read(arguments) and _asks_for_the_kind(arguments))
            ),
            spec.Basic.Get: lambda arguments: _is_ours_to_read(arguments) and not arguments[2],
            spec.Basic.Consume: lambda arguments: _is_ours_to_read(arguments) and not arguments[4],
            spec.Basic.Cancel: _anything,
            spec.Basic.Qos: _bounds_a_consumer,
        }
    )


def moving(source: str, target: str, quarantine: str, grant: Grant) -> Guard:
    """Moving messages from one queue to another by way of, out of or into a quarantine, as long as that is granted.

    What is taken has to be acknowledged, and is so in a transaction that says where it is now. That goes through when
    the grant has ended, too: messages whose copies were made under it would be in two places otherwise. What is made
    and deleted are the quarantine and its ledger, and nothing else.
    """
    ours = {quarantine, quarantine + LEDGER} if is_quarantine(quarantine) else set()
    names = {source, target} | ours

    def makes(arguments: Sequence[Any]) -> bool:
        _, name, _, durable, exclusive, auto_delete, *_ = arguments
        if exclusive:
            return bool(ours) and name == quarantine + LOCK and not durable
        return name in ours and durable and not auto_delete

    def declares(arguments: Sequence[Any]) -> bool:
        if arguments[2]:
            return arguments[1] in names
        return (arguments[1] in names and _asks_for_the_kind(arguments)) or grant.over(makes)(arguments)

    def publishes(arguments: Sequence[Any]) -> bool:
        if arguments[1]:
            return False
        to = arguments[2]
        return (bool(ours) and to == quarantine + LEDGER) or grant.over(lambda _: to in {target} | ours)(arguments)

    return Guard(
        {
            spec.Queue.Declare: declares,
            spec.Queue.Delete: grant.over(lambda arguments: arguments[1] in ours),
            spec.Basic.Get: grant.over(lambda arguments: arguments[1] in names and not arguments[2]),
            spec.Basic.Consume: grant.over(lambda arguments: arguments[1] in names and not arguments[4]),
            spec.Basic.Qos: grant.over(_bounds_a_consumer),
            spec.Basic.Cancel: _anything,
            spec.Basic.Publish: publishes,
            spec.Basic.Ack: _anything,
            spec.Tx.Select: grant.over(_anything),
            spec.Tx.Commit: _anything,
        }
    )
