"""RabbitMQ's management API: which queues a virtual host has, and what no other question tells of them.

It is asked only where its address was given, over HTTP or HTTPS, with the user and password of the broker: never to a
host that the user did not name.
"""

import base64
import http.client
import time
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
#: The option that names its address.
OPTION: Final = "management_url"
#: Queues of one answer, and bytes of it at most.
PAGE: Final = 500
MAX_ANSWER: Final = 4 << 20
_COLUMNS: Final = "name,messages_ready,messages_unacknowledged,consumers"
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


class _Queue(msgspec.Struct):
    name: str
    messages_ready: int | None = None
    messages_unacknowledged: int | None = None
    consumers: int | None = None


class _Page(msgspec.Struct):
    items: list[_Queue]
    page_count: int = 1


class Management(msgspec.Struct, frozen=True):
    """The API of one broker, for one virtual host."""

    host: str
    port: int
    path: str
    virtual_host: str
    username: str
    password: Secret
    tls: Tls | None
    line: Line

    @property
    def shown(self) -> str:
        """Its address, for people."""
        return f"{'http' if self.tls is None else 'https'}://{self.host}:{self.port}{self.path}"

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

    def _get(self, place: str) -> bytes:
        signed = base64.b64encode(f"{self.username}:{self.password.reveal()}".encode()).decode("ascii")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_TIMEOUT)
        deadline = time.monotonic() + ANSWER_TIMEOUT
        try:
            # A socket of the broker's line: the same check of certificates, the same end when all is dropped.
            connection.sock = self.line.connect(self.host, self.port, ANSWER_TIMEOUT, tls=self.tls)
            connection.sock.settimeout(max(0.1, deadline - time.monotonic()))
            connection.request("GET", place, headers={"Authorization": f"Basic {signed}", "Accept": "application/json"})
            with connection.getresponse() as response:
                text = response.read(MAX_ANSWER + 1)
        except OSError as error:
            raise network_error(error, self.host, self.shown) from error
        except http.client.HTTPException as error:
            raise BrokerError("protocol", f"What answers at {self.shown} does not speak HTTP.") from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            why = _STATES.get(response.status, f"answered {response.status} {clean_word(response.reason[:100])}.")
            fault: Fault = "permission" if response.status in (401, 403) else "protocol"
            raise BrokerError(fault, f"The management API at {self.shown} {why}")
        if len(text) > MAX_ANSWER:
            raise BrokerError("protocol", f"The answer of {self.shown} is too large.")
        return text


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


def _count(number: Any) -> int | None:
    return number if isinstance(number, int) and 0 <= number <= MAX_INTEGER else None
