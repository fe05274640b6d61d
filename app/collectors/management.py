"""RabbitMQ's management API: which queues a virtual host has, and what no other question tells of them.

It is asked only where its address was given, over HTTP or HTTPS, with the user and password of the broker: never to a
host that the user did not name.
"""

import base64
import http.client
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from app.collectors.checks import MAX_INTEGER, MAX_WORD
from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError, Fault
from app.collectors.line import Line
from app.collectors.tls import Tls
from app.collectors.transport import ANSWER_TIMEOUT, network_error
from app.secrets import Secret

PORTS: Final = {"http": 15672, "https": 15671}
#: Queues of one answer, and bytes of it at most.
PAGE: Final = 500
MAX_ANSWER: Final = 4 << 20
_COLUMNS: Final = "name,messages_ready,messages_unacknowledged,consumers"
_NATURE: Final = "type,arguments,effective_policy_definition,delivery_limit"
_STATES: Final = {
    401: "refused the sign-in. The user needs the tag management, monitoring or administrator.",
    403: "refused the sign-in. The user needs the tag management, monitoring or administrator.",
    404: "knows no such virtual host, or is not the management API. Its address ends with the port, such as :15672.",
}


class Managed(msgspec.Struct, frozen=True):
    """What the API tells of a queue; None where it has no figure yet."""

    name: str
    ready: int | None = None
    unacked: int | None = None
    consumers: int | None = None


class Nature(msgspec.Struct, frozen=True):
    """What a queue is: ``classic``, ``quorum`` or ``stream``; and after how many deliveries it drops a message."""

    kind: str
    limit: int | None = None


class _Policy(msgspec.Struct):
    limit: int | None = msgspec.field(name="delivery-limit", default=None)


class _Arguments(msgspec.Struct):
    limit: int | None = msgspec.field(name="x-delivery-limit", default=None)


class _Nature(msgspec.Struct):
    type: str = "classic"
    arguments: _Arguments = msgspec.field(default_factory=_Arguments)
    effective_policy_definition: _Policy | list[Any] | None = None
    delivery_limit: int | str | None = None


class _Queue(msgspec.Struct):
    name: str
    messages_ready: int | None = None
    messages_unacknowledged: int | None = None
    consumers: int | None = None


class _Page(msgspec.Struct):
    items: list[_Queue]
    page_count: int = 1


class Management(msgspec.Struct):
    """The API of one broker, for one virtual host. Not thread-safe.

    Its connection is kept between two questions: each new one would be a sign-in at a jump host, too.
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

    @property
    def shown(self) -> str:
        """Its address, for people."""
        return f"{'http' if self.tls is None else 'https'}://{self.host}:{self.port}{self.path}{self.line.route}"

    def queues(self, page: int = 1) -> tuple[list[Managed], int]:
        """Queues of a page, from 1, and how many pages there are. Raises `BrokerError`."""
        place = f"{self.path}/queues/{quote(self.virtual_host, safe='')}"
        place += f"?page={page}&page_size={PAGE}&columns={_COLUMNS}"
        try:
            found = msgspec.json.decode(self._get(place), type=_Page)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BrokerError("protocol", f"What answers at {self.shown} is not RabbitMQ's management API.") from error
        queues = [
            Managed(
                clean_word(queue.name), _count(queue.messages_ready), _count(queue.messages_unacknowledged),
                _count(queue.consumers),
            )
            for queue in found.items
            if 0 < len(queue.name) <= MAX_WORD
        ]  # fmt: skip
        return queues, max(1, found.page_count)

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def nature(self, queue: str) -> Nature:
        """What one queue is. Raises `BrokerError`."""
        place = f"{self.path}/queues/{quote(self.virtual_host, safe='')}/{quote(queue, safe='')}"
        place += f"?columns={_NATURE}"
        try:
            found = msgspec.json.decode(self._get(place), type=_Nature)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BrokerError("protocol", f"What answers at {self.shown} is not RabbitMQ's management API.") from error
        policy = found.effective_policy_definition
        limits = (found.arguments.limit, policy.limit if isinstance(policy, _Policy) else None, found.delivery_limit)
        known = [limit for limit in limits if isinstance(limit, int) and limit >= 0]
        return Nature(clean_word(found.type[:MAX_WORD]), min(known, default=None))

    def _get(self, place: str) -> bytes:
        try:
            response, text = self._answer(place)
        except OSError as error:
            raise network_error(error, self.host, self.shown) from error
        except http.client.HTTPException as error:
            raise BrokerError("protocol", f"What answers at {self.shown} does not speak HTTP.") from error
        if response.status != http.client.OK:
            why = _STATES.get(response.status, f"answered {response.status} {clean_word(response.reason[:100])}.")
            fault: Fault = "permission" if response.status in (401, 403) else "protocol"
            raise BrokerError(fault, f"The management API at {self.shown} {why}")
        if len(text) > MAX_ANSWER:
            raise BrokerError("protocol", f"The answer of {self.shown} is too large.")
        return text

    def _answer(self, place: str) -> tuple[http.client.HTTPResponse, bytes]:
        kept, self._kept = self._kept, None
        if kept is not None:
            with suppress(ConnectionError):  # it was closed meanwhile, which is no failure
                return self._ask(kept, place)
        connection = http.client.HTTPConnection(self.host, self.port)
        connection.auto_open = 0
        # A socket of the broker's line: the same check of certificates, the same end when all is dropped.
        connection.sock = self.line.connect(self.host, self.port, ANSWER_TIMEOUT, tls=self.tls)
        connection.sock.settimeout(ANSWER_TIMEOUT)
        return self._ask(connection, place)

    def _ask(self, connection: http.client.HTTPConnection, place: str) -> tuple[http.client.HTTPResponse, bytes]:
        signed = base64.b64encode(f"{self.username}:{self.password.reveal()}".encode()).decode("ascii")
        try:
            connection.request("GET", place, headers={"Authorization": f"Basic {signed}", "Accept": "application/json"})
            with connection.getresponse() as response:
                text = response.read(MAX_ANSWER + 1)
                if response.isclosed() and connection.sock is not None:
                    self._kept = connection
            return response, text
        finally:
            if self._kept is not connection:
                connection.close()


def management_at(
    url: str, virtual_host: str, username: str, password: Secret, tls: Tls | None, line: Line
) -> Management:
    """The API at an ``http[s]://host[:port][/path]`` address. Raises `BrokerError` (fault ``address``)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BrokerError("address", "The address of the management API can't be read: check host and port.") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise BrokerError("address", "The management API is at an address like http://host:15672.")
    if parts.username or parts.password:
        raise BrokerError(
            "address", "The management API is asked as the broker's user: leave user and password out of its address."
        )
    path = parts.path.rstrip("/")
    return Management(
        parts.hostname, port or PORTS[parts.scheme], path if path.endswith("/api") else f"{path}/api",
        virtual_host, username, password, (tls or Tls()) if parts.scheme == "https" else None, line,
    )  # fmt: skip


def _count(number: Any) -> int | None:
    return number if isinstance(number, int) and 0 <= number <= MAX_INTEGER else None
