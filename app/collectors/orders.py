"""What workers may be asked, and what they may be told to do: both closed, and what they are told typed, too.

The arguments are those that Celery's own ``app.control`` sends (celery/app/control.py), and nothing in them is escaped.
`election` is on no list: it kills a worker that is alone (PROTOCOL 0).
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta

from app.collectors.access import Grant
from app.models.acts import Signal

#: What may be asked: nothing is changed by it.
Command = Literal[
    "ping", "stats", "active_queues", "active", "reserved", "scheduled", "query_task", "registered", "conf",
]  # fmt: skip
QUESTIONS: Final = frozenset(get_args(Command))
#: Ids that one message may have: each costs every worker 0.3 ms in which it does nothing else (PROTOCOL 3.4).
MOST_IDS: Final = 200

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Names = Annotated[list[Name], Meta(min_length=1, max_length=MOST_IDS)]
Number = Annotated[int, Meta(ge=0, le=100_000)]
Seconds = Annotated[float, Meta(gt=0.0, le=1e9)]


class Forbidden(Exception):
    """The connection's access mode does not allow a command, or the command does not take such arguments."""


class _Order(msgspec.Struct, frozen=True, tag_field="method", forbid_unknown_fields=True):
    """A command that changes what workers do."""


class RevokeIds(_Order, tag="revoke", frozen=True):
    """Not run tasks, or end the one that runs by a signal. Only one may be ended, and only by its own worker."""

    task_id: Names
    terminate: bool = False
    signal: Signal = "SIGTERM"


class RevokeStamps(_Order, tag="revoke_by_stamped_headers", frozen=True):
    """Not run tasks that carry one of the values of a stamped header. None is ended by it: nobody knows how many."""

    headers: dict[Name, Names]
    terminate: Literal[False] = False
    signal: Signal = "SIGTERM"


class PoolGrow(_Order, tag="pool_grow", frozen=True):
    """So many processes more."""

    n: Number


class PoolShrink(_Order, tag="pool_shrink", frozen=True):
    """So many processes less."""

    n: Number


class PoolRestart(_Order, tag="pool_restart", frozen=True):
    """New pool processes; no code is loaded anew."""

    modules: None = None
    reload: Literal[False] = False
    reloader: None = None


class Autoscale(_Order, tag="autoscale", frozen=True):
    """Between how many processes the pool scales by itself."""

    most: Number = msgspec.field(name="max")
    least: Number = msgspec.field(name="min")


class AddConsumer(_Order, tag="add_consumer", frozen=True):
    """Consume a queue, which is made where there is none, at an exchange of the same name."""

    queue: Name
    exchange: None = None
    exchange_type: Literal["direct"] = "direct"
    routing_key: None = None


class CancelConsumer(_Order, tag="cancel_consumer", frozen=True):
    """Consume a queue no longer."""

    queue: Name


class RateLimit(_Order, tag="rate_limit", frozen=True):
    """How many tasks of a name one worker begins in a time: ``10/m``; ``0`` is as many as it can."""

    task_name: Name
    rate_limit: Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?(/[smh])?\Z")]


class TimeLimit(_Order, tag="time_limit", frozen=True):
    """Both limits of tasks of a name: workers set both, whatever they are told, so that None clears one."""

    task_name: Name
    hard: Seconds | None
    soft: Seconds | None


class EnableEvents(_Order, tag="enable_events", frozen=True):
    """Tell of tasks."""


class DisableEvents(_Order, tag="disable_events", frozen=True):
    """Tell of tasks no longer, which those do not heed that were started with ``-E``."""


class Shutdown(_Order, tag="shutdown", frozen=True):
    """End when the tasks that run are done. Nobody answers to it."""


Order = (
    RevokeIds | RevokeStamps | PoolGrow | PoolShrink | PoolRestart | Autoscale | AddConsumer | CancelConsumer
    | RateLimit | TimeLimit | EnableEvents | DisableEvents | Shutdown
)  # fmt: skip
ORDERS: Final = frozenset(str(kind.__struct_config__.tag) for kind in get_args(Order))


def worded(order: Order, destination: Sequence[str] | None) -> tuple[str, dict[str, Any]]:
    """A command and its arguments as they are sent. Raises `Forbidden` for what no worker should be told."""
    try:
        # What is no text stays what it is, so that it is not taken for one.
        plain: dict[str, Any] = msgspec.to_builtins(order, builtin_types=(bytes, bytearray))
        msgspec.json.encode(plain)
        msgspec.convert(plain, Order)
    except (msgspec.ValidationError, TypeError, UnicodeEncodeError) as error:
        raise Forbidden(f"{type(order).__name__}: {error}") from error
    everybody = destination is None and isinstance(order, RevokeIds | RevokeStamps)
    if not destination and not everybody:
        # To name none is to name all, for kombu.
        raise Forbidden("Which workers are meant has to be said one by one.")
    if isinstance(order, RevokeIds) and order.terminate and (len(order.task_id), len(destination or ())) != (1, 1):
        raise Forbidden("Only one task is ended at a time, by its own worker.")
    return plain.pop("method"), plain


def permits(method: str, grant: Grant | None) -> bool:
    """Whether a command may be sent: a question always, all else that is known as long as a grant holds.

    Raises `BrokerError` where it held and has ended.
    """
    if method in ORDERS and grant is not None:
        grant.require()
        return True
    return method in QUESTIONS


class _Method(msgspec.Struct):
    method: str


class _Properties(msgspec.Struct):
    body_encoding: Literal["base64"]


class _Envelope(msgspec.Struct):
    body: str
    properties: _Properties


_method = msgspec.json.Decoder(_Method).decode
_envelope = msgspec.json.Decoder(_Envelope).decode


def method_of(body: bytes | str) -> str:
    """The command of a request; "" for what is none."""
    try:
        return _method(body).method
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""


def method_in(envelope: str) -> str:
    """The command of a request in kombu's envelope; "" for what is none, or is not encoded as ours are."""
    try:
        return method_of(base64.b64decode(_envelope(envelope).body, validate=True))
    except (msgspec.DecodeError, UnicodeError, binascii.Error, ValueError, RecursionError):
        return ""
