"""What RabbitMQ's management API tells of queues and policies, and how that is read; `management` asks it."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from app.collectors.checks import MAX_INTEGER, MAX_WORD
from app.collectors.clean import clean_word

_RATES: Final = ("publish", "ack", "deliver_no_ack", "get_no_ack")
#: What is asked of queues, and of one that is to be moved.
QUEUE_COLUMNS: Final = ",".join(
    (
        "name", "messages_ready", "messages_unacknowledged", "consumers", "memory", "type", "durable", "exclusive",
        "policy", "arguments", "effective_policy_definition",
        *(f"message_stats.{kind},message_stats.{kind}_details.rate" for kind in _RATES),
    )
)  # fmt: skip
NATURE_COLUMNS: Final = "type,auto_delete,arguments,effective_policy_definition,delivery_limit"
#: What a queue does with too many messages where it is told nothing else.
_DROPS: Final = "drop-head"


class DeadLetters(msgspec.Struct, frozen=True):
    """Where a queue sends what it gives up: an exchange ("" is the default one), and a key, or None for their own."""

    exchange: str
    routing_key: str | None = None


class Managed(msgspec.Struct, frozen=True):
    """What the API tells of a queue; None where it has no figure (yet).

    Rates are messages per second, over the last interval in which RabbitMQ counted (5 s by default): those that were
    published to it, and those that left it because a consumer acknowledged them, or took them without having to.
    ``expires`` is whether messages are given up after some time.
    """

    name: str
    ready: int | None = None
    unacked: int | None = None
    consumers: int | None = None
    memory: int | None = None
    rate_in: float | None = None
    rate_out: float | None = None
    type: str | None = None
    durable: bool | None = None
    exclusive: bool = False
    policy: str | None = None
    dead_letters: DeadLetters | None = None
    expires: bool = False


class Binding(msgspec.Struct, frozen=True):
    """A queue that an exchange hands messages to, and the key by which."""

    queue: str
    routing_key: str


class Nature(msgspec.Struct, frozen=True):
    """What a queue is: ``classic``, ``quorum`` or ``stream``; and after how many deliveries it drops a message.

    ``priorities`` is the highest one that it tells from others, where it does. With ``auto_delete`` it goes with its
    last consumer. Of more messages than ``most``, it drops the oldest.
    """

    kind: str
    limit: int | None = None
    priorities: int | None = None
    auto_delete: bool = False
    most: int | None = None


class Policy(msgspec.Struct, frozen=True):
    """What holds for queues whose names match a pattern; of several, the one with the highest priority does."""

    name: str
    pattern: str
    definition: dict[str, Any]
    priority: int = 0
    apply_to: str = msgspec.field(name="apply-to", default="all")

    def holds_for(self, queue: str) -> bool:
        """Whether it may hold for a queue of this name."""
        if self.apply_to == "exchanges":
            return False
        try:
            return re.search(self.pattern, queue) is not None
        except re.error:  # RabbitMQ's are Perl's, which can a little more: what can't be told may hold
            return True


class _Policy(msgspec.Struct):
    limit: int | None = msgspec.field(name="delivery-limit", default=None)
    most: int | None = msgspec.field(name="max-length", default=None)
    overflow: str | None = None


class _Arguments(msgspec.Struct):
    limit: int | None = msgspec.field(name="x-delivery-limit", default=None)
    priorities: int | None = msgspec.field(name="x-max-priority", default=None)
    most: int | None = msgspec.field(name="x-max-length", default=None)
    overflow: str | None = msgspec.field(name="x-overflow", default=None)


class NatureAnswer(msgspec.Struct):
    """What the API answers about one queue, as it comes; see `Nature`."""

    type: str = "classic"
    auto_delete: bool = False
    arguments: _Arguments = msgspec.field(default_factory=_Arguments)
    effective_policy_definition: _Policy | list[Any] | None = None
    delivery_limit: int | str | None = None

    def nature(self) -> Nature:
        """It, by its own arguments, its policy and what holds for all."""
        policy = (
            self.effective_policy_definition if isinstance(self.effective_policy_definition, _Policy) else _Policy()
        )
        limits = (self.arguments.limit, policy.limit, self.delivery_limit)
        known = [limit for limit in limits if isinstance(limit, int) and limit >= 0]
        kind, limit = clean_word(self.type[:MAX_WORD]), min(known, default=None)
        bounds = [bound for bound in (self.arguments.most, policy.most) if bound is not None]
        drops = (self.arguments.overflow or policy.overflow or _DROPS) == _DROPS
        most = min(bounds, default=None) if drops else None
        return Nature(kind, limit, self.arguments.priorities, self.auto_delete, most)


class QueueAnswer(msgspec.Struct):
    """What the API answers about a queue of a page, as it comes; see `Managed`."""

    name: str
    messages_ready: int | None = None
    messages_unacknowledged: int | None = None
    consumers: int | None = None
    memory: int | None = None
    type: str | None = None
    durable: bool | None = None
    exclusive: bool | None = None
    policy: str | None = None
    # RabbitMQ writes an empty list for an empty table at times.
    arguments: dict[str, Any] | list[Any] | None = None
    effective_policy_definition: dict[str, Any] | list[Any] | None = None
    message_stats: dict[str, Any] | list[Any] | None = None

    def managed(self) -> Managed:
        """It, with what makes no sense left out."""
        stats = _table(self.message_stats)
        ready = _count(self.messages_ready)
        # Where figures are told at all, what is not among them never happened.
        rates = {kind: _rate(stats, kind) if kind in stats or ready is None else 0.0 for kind in _RATES}
        out = [rates[kind] for kind in _RATES[1:]]
        settings = _table(self.effective_policy_definition)
        # What a queue was declared with comes before its policy.
        settings |= {key.removeprefix("x-"): value for key, value in _table(self.arguments).items()}
        return Managed(
            name=clean_word(self.name),
            ready=ready,
            unacked=_count(self.messages_unacknowledged),
            consumers=_count(self.consumers),
            memory=_count(self.memory),
            rate_in=rates["publish"],
            rate_out=None if None in out else sum(rate or 0.0 for rate in out),
            type=_word(self.type),
            durable=self.durable,
            exclusive=bool(self.exclusive),
            policy=_word(self.policy),
            dead_letters=_dead_letters(settings),
            expires="message-ttl" in settings,
        )


def _dead_letters(settings: Mapping[str, Any]) -> DeadLetters | None:
    exchange = settings.get("dead-letter-exchange")
    if not isinstance(exchange, str) or len(exchange) > MAX_WORD:
        return None
    return DeadLetters(clean_word(exchange), _word(settings.get("dead-letter-routing-key")))


def _rate(stats: Mapping[str, Any], kind: str) -> float | None:
    details = stats.get(f"{kind}_details")
    rate = details.get("rate") if isinstance(details, dict) else None
    return float(rate) if isinstance(rate, int | float) and 0 <= rate <= MAX_INTEGER else None


def _table(told: dict[str, Any] | list[Any] | None) -> dict[str, Any]:
    return dict(told) if isinstance(told, dict) else {}


def _word(told: object) -> str | None:
    return clean_word(told) if isinstance(told, str) and 0 < len(told) <= MAX_WORD else None


def _count(number: Any) -> int | None:
    return number if isinstance(number, int) and 0 <= number <= MAX_INTEGER else None
