"""RabbitMQ's management API: which queues a virtual host has, and what no other question tells of them.

It is asked only where its address was given, over HTTP or HTTPS, with the user and password of the broker: never at a
host that the user did not name. All that is ever said there is ``GET``.
"""

import base64
import http.client
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from app.collectors.checks import MAX_INTEGER, MAX_WORD
from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError
from app.collectors.line import Line
from app.collectors.tls import Tls
from app.collectors.transport import ANSWER_TIMEOUT, network_error
from app.secrets import Secret

PORTS: Final = {"http": 15672, "https": 15671}
#: The option that names its address.
OPTION: Final = "management_url"
#: Queues of one answer, and bytes of it at most; bindings of an exchange that are looked at.
PAGE: Final = 500
MAX_ANSWER: Final = 4 << 20
MAX_BINDINGS: Final = 500
_READ_SIZE: Final = 1 << 16
_RATES: Final = ("publish", "ack", "deliver_no_ack", "get_no_ack")
_COLUMNS: Final = ",".join(
    (
        "name", "messages_ready", "messages_unacknowledged", "consumers", "memory", "type", "durable", "exclusive",
        "policy", "arguments", "effective_policy_definition",
        *(f"message_stats.{kind},message_stats.{kind}_details.rate" for kind in _RATES),
    )
)  # fmt: skip
_NATURE: Final = "type,auto_delete,arguments,effective_policy_definition,delivery_limit"
_REFUSED: Final = (http.client.UNAUTHORIZED, http.client.FORBIDDEN)
#: What it answers to the question for alarms while there are some.
_ALARMED: Final = http.client.SERVICE_UNAVAILABLE

#: What a queue does with too many messages where it is told nothing else.
_DROPS: Final = "drop-head"

T = TypeVar("T")


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


class _Policy(msgspec.Struct):
    limit: int | None = msgspec.field(name="delivery-limit", default=None)
    most: int | None = msgspec.field(name="max-length", default=None)
    overflow: str | None = None


class _Arguments(msgspec.Struct):
    limit: int | None = msgspec.field(name="x-delivery-limit", default=None)
    priorities: int | None = msgspec.field(name="x-max-priority", default=None)
    most: int | None = msgspec.field(name="x-max-length", default=None)
    overflow: str | None = msgspec.field(name="x-overflow", default=None)


class _Nature(msgspec.Struct):
    type: str = "classic"
    auto_delete: bool = False
    arguments: _Arguments = msgspec.field(default_factory=_Arguments)
    effective_policy_definition: _Policy | list[Any] | None = None
    delivery_limit: int | str | None = None


class _Queue(msgspec.Struct):
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


class _Page(msgspec.Struct):
    items: list[_Queue]
    page_count: int = 1


class _Binding(msgspec.Struct):
    destination: str
    destination_type: str
    routing_key: str


class _Alarm(msgspec.Struct):
    resource: str = ""


class _Alarms(msgspec.Struct):
    alarms: list[_Alarm] = []


class _Reason(msgspec.Struct):
    reason: str = ""


class Management(msgspec.Struct):
    """The API of one broker, for one virtual host.

    One connection is kept between two questions: each new one would be a sign-in at a jump host, too.
    """

    host: str
    port: int
    path: str
    virtual_host: str
    username: str
    password: Secret
    tls: Tls | None
    line: Line
    _kept: http.client.HTTPConnection | None = None
    _lock: threading.Lock = msgspec.field(default_factory=threading.Lock)

    @property
    def shown(self) -> str:
        """Its address, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls is None else 'https'}://{host}:{self.port}{self.path}{self.line.route}"

    def queues(self, page: int = 1) -> tuple[list[Managed], int]:
        """Queues of a page, from 1, and how many pages there are. Raises `BrokerError`."""
        place = f"queues/{quote(self.virtual_host, safe='')}?page={page}&page_size={PAGE}&columns={_COLUMNS}"
        found = self._ask(place, _Page)
        return [_managed(queue) for queue in found.items if 0 < len(queue.name) <= MAX_WORD], max(1, found.page_count)

    def bindings(self, exchange: str) -> list[Binding]:
        """Queues that an exchange hands messages to; none where there is no such exchange. Raises `BrokerError`."""
        place = f"exchanges/{quote(self.virtual_host, safe='')}/{quote(exchange, safe='')}/bindings/source"
        place += "?columns=destination,destination_type,routing_key"
        found = self._ask(place, list[_Binding])
        return [
            Binding(clean_word(each.destination), clean_word(each.routing_key))
            for each in found[:MAX_BINDINGS]
            if each.destination_type == "queue" and len(each.destination) <= MAX_WORD >= len(each.routing_key)
        ]

    def alarms(self) -> list[str]:
        """What the broker is short of (``memory``, ``disk``), so that it blocks publishers. Raises `BrokerError`."""
        found = self._ask("health/checks/alarms", _Alarms, also=_ALARMED)
        return sorted({clean_word(alarm.resource[:MAX_WORD]) for alarm in found.alarms})

    def nature(self, queue: str) -> Nature:
        """What one queue is. Raises `BrokerError`."""
        place = f"queues/{quote(self.virtual_host, safe='')}/{quote(queue, safe='')}?columns={_NATURE}"
        found = self._ask(place, _Nature)
        policy = (
            found.effective_policy_definition if isinstance(found.effective_policy_definition, _Policy) else _Policy()
        )
        limits = (found.arguments.limit, policy.limit, found.delivery_limit)
        known = [limit for limit in limits if isinstance(limit, int) and limit >= 0]
        kind, limit = clean_word(found.type[:MAX_WORD]), min(known, default=None)
        bounds = [bound for bound in (found.arguments.most, policy.most) if bound is not None]
        drops = (found.arguments.overflow or policy.overflow or _DROPS) == _DROPS
        most = min(bounds, default=None) if drops else None
        return Nature(kind, limit, found.arguments.priorities, found.auto_delete, most)

    def policies(self, queue: str) -> list[Policy]:
        """Those that hold for a queue of a name, whether it is there or not: a policy and an operator's, if there are.

        Raises `BrokerError`.
        """
        host = quote(self.virtual_host, safe="")
        both = (self._ask(f"{kind}/{host}", list[Policy]) for kind in ("policies", "operator-policies"))
        matching = ([policy for policy in some if _matches(policy, queue)] for some in both)
        return [max(some, key=lambda policy: policy.priority) for some in matching if some]

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        kept = self._keep(None)
        if kept is not None:
            kept.close()

    def _ask(self, place: str, kind: Callable[..., T], also: int = http.client.OK) -> T:
        try:
            answer: T = msgspec.json.decode(self._get(f"{self.path}/{place}", also), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BrokerError("protocol", f"What answers at {self.shown} is not RabbitMQ's management API.") from error
        return answer

    def _get(self, place: str, also: int) -> bytes:
        try:
            response, text = self._answer(place)
        except OSError as error:
            raise network_error(error, self.host, self.shown) from error
        except http.client.HTTPException as error:
            raise BrokerError("protocol", f"What answers at {self.shown} does not speak HTTP.") from error
        if response.status not in (http.client.OK, also):
            raise self._refusal(response, text)
        return text

    def _answer(self, place: str) -> tuple[http.client.HTTPResponse, bytes]:
        kept = self._keep(None)
        if kept is not None:
            with suppress(ConnectionError):  # it was closed meanwhile, which is no failure
                return self._say(kept, place)
        connection = http.client.HTTPConnection(self.host, self.port)
        connection.auto_open = 0
        # A socket of the broker's line: the same check of certificates, the same end when all is dropped.
        connection.sock = self.line.connect(self.host, self.port, ANSWER_TIMEOUT, tls=self.tls)
        return self._say(connection, place)

    def _say(self, connection: http.client.HTTPConnection, place: str) -> tuple[http.client.HTTPResponse, bytes]:
        signed = base64.b64encode(f"{self.username}:{self.password.reveal()}".encode()).decode("ascii")
        deadline = time.monotonic() + ANSWER_TIMEOUT
        spare: http.client.HTTPConnection | None = connection
        try:
            if connection.sock is not None:
                connection.sock.settimeout(ANSWER_TIMEOUT)
            connection.request("GET", place, headers={"Authorization": f"Basic {signed}", "Accept": "application/json"})
            with connection.getresponse() as response:
                text = self._read(response, deadline)
                if not response.will_close:
                    spare = self._keep(connection)
            return response, text
        finally:
            if spare is not None:
                spare.close()

    def _keep(self, connection: http.client.HTTPConnection | None) -> http.client.HTTPConnection | None:
        """Keep a connection for the next question, in place of the one that is returned. From any thread."""
        with self._lock:
            kept, self._kept = self._kept, connection
        return kept

    def _read(self, response: http.client.HTTPResponse, deadline: float) -> bytes:
        """The body, however slowly it trickles in, up to the deadline."""
        text = b""
        while part := response.read1(_READ_SIZE):
            text += part
            if len(text) > MAX_ANSWER:
                raise BrokerError("protocol", f"The answer of {self.shown} is too large.")
            if time.monotonic() > deadline:
                raise TimeoutError
        if response.length:  # None where that was not told
            raise ConnectionResetError("the connection ended within an answer")
        return text

    def _refusal(self, response: http.client.HTTPResponse, text: bytes) -> BrokerError:
        where = f"The management API at {self.shown}"
        if response.status in _REFUSED:
            remedy = "The user needs the tag management, monitoring or administrator, and a right in the virtual host."
            return BrokerError("permission", f"{where} refused the sign-in{_reason(text)}. {remedy}")
        if response.status == http.client.NOT_FOUND:
            remedy = "knows no such virtual host, or is not one. Its address ends with the port, such as :15672."
            return BrokerError("protocol", f"What answers at {self.shown} {remedy}")
        return BrokerError("protocol", f"{where} answered {response.status} {clean_word(response.reason[:100])}.")


def management_at(
    url: str, virtual_host: str, username: str, password: Secret, tls: Tls | None, line: Line
) -> Management:
    """The API at an ``http[s]://host[:port][/path]`` address. Raises `BrokerError` (fault ``address``)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        text = "The address of the management API can't be read: check host and port."
        raise BrokerError("address", text, option=OPTION) from None
    if parts.scheme not in PORTS or not parts.hostname:
        text = "The management API is at an address like http://host:15672."
        raise BrokerError("address", text, option=OPTION)
    if parts.username or parts.password:
        text = "The management API is asked as the broker's user: leave user and password out of its address."
        raise BrokerError("address", text, option=OPTION)
    path = parts.path.rstrip("/")
    return Management(
        parts.hostname, port or PORTS[parts.scheme], path if path.endswith("/api") else f"{path}/api",
        virtual_host, username, password, (tls or Tls()) if parts.scheme == "https" else None, line,
    )  # fmt: skip


def _managed(queue: _Queue) -> Managed:
    stats = _table(queue.message_stats)
    ready = _count(queue.messages_ready)
    # Where figures are told at all, what is not among them never happened.
    rates = {kind: _rate(stats, kind) if kind in stats or ready is None else 0.0 for kind in _RATES}
    out = [rates[kind] for kind in _RATES[1:]]
    settings = _table(queue.effective_policy_definition)
    # What a queue was declared with comes before its policy.
    settings |= {key.removeprefix("x-"): value for key, value in _table(queue.arguments).items()}
    return Managed(
        name=clean_word(queue.name),
        ready=ready,
        unacked=_count(queue.messages_unacknowledged),
        consumers=_count(queue.consumers),
        memory=_count(queue.memory),
        rate_in=rates["publish"],
        rate_out=None if None in out else sum(rate or 0.0 for rate in out),
        type=_word(queue.type),
        durable=queue.durable,
        exclusive=bool(queue.exclusive),
        policy=_word(queue.policy),
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


def _matches(policy: Policy, queue: str) -> bool:
    if policy.apply_to == "exchanges":
        return False
    try:
        return re.search(policy.pattern, queue) is not None
    except re.error:  # RabbitMQ's are Perl's, which can a little more: what can't be told may hold
        return True


def _table(told: dict[str, Any] | list[Any] | None) -> dict[str, Any]:
    return dict(told) if isinstance(told, dict) else {}


def _word(told: object) -> str | None:
    return clean_word(told) if isinstance(told, str) and 0 < len(told) <= MAX_WORD else None


def _reason(text: bytes) -> str:
    """What RabbitMQ says why, for people."""
    try:
        reason = msgspec.json.decode(text, type=_Reason).reason
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return f" ({clean_word(reason[:100])})" if reason else ""


def _count(number: Any) -> int | None:
    return number if isinstance(number, int) and 0 <= number <= MAX_INTEGER else None
