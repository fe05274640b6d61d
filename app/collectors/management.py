"""RabbitMQ's management API: which queues a virtual host has, and what no other question tells of them.

It is asked only where its address was given, over HTTP or HTTPS, with the user and password of the broker: never at a
host that the user did not name. All that is ever said there is ``GET``.
"""

import base64
import http.client
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from app.collectors.checks import MAX_WORD
from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError
from app.collectors.line import Line
from app.collectors.managed import (
    NATURE_COLUMNS,
    QUEUE_COLUMNS,
    Binding,
    Managed,
    Nature,
    NatureAnswer,
    Policy,
    QueueAnswer,
)
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
_REFUSED: Final = (http.client.UNAUTHORIZED, http.client.FORBIDDEN)
#: What it answers to the question for alarms while there are some.
_ALARMED: Final = http.client.SERVICE_UNAVAILABLE

T = TypeVar("T")


class _Page(msgspec.Struct):
    items: list[QueueAnswer]
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
        place = f"queues/{quote(self.virtual_host, safe='')}?page={page}&page_size={PAGE}&columns={QUEUE_COLUMNS}"
        found = self._ask(place, _Page)
        return [queue.managed() for queue in found.items if 0 < len(queue.name) <= MAX_WORD], max(1, found.page_count)

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
        place = f"queues/{quote(self.virtual_host, safe='')}/{quote(queue, safe='')}?columns={NATURE_COLUMNS}"
        return self._ask(place, NatureAnswer).nature()

    def policies(self, queue: str) -> list[Policy]:
        """Those that hold for a queue of a name, whether it is there or not: a policy and an operator's, if there are.

        Raises `BrokerError`.
        """
        host = quote(self.virtual_host, safe="")
        both = (self._ask(f"{kind}/{host}", list[Policy]) for kind in ("policies", "operator-policies"))
        matching = ([policy for policy in some if policy.holds_for(queue)] for some in both)
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


def _reason(text: bytes) -> str:
    """What RabbitMQ says why, for people."""
    try:
        reason = msgspec.json.decode(text, type=_Reason).reason
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return f" ({clean_word(reason[:100])})" if reason else ""
