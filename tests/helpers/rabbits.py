"""What tests ask of a RabbitMQ node besides being there: its management API, messages, and users of few rights."""

import base64
import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import amqp

from tests.helpers.servers import HOST, RabbitServer
from tests.helpers.waiting import eventually


def manage(server: RabbitServer, method: str, path: str, body: object = None) -> Any:
    """Ask the management API; parts of the path are quoted already. What it answers, as JSON types."""
    request = urllib.request.Request(f"http://{HOST}:{server.management_port}/api/{path}", method=method)
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    request.add_header("Content-Type", "application/json")
    data = None if body is None else json.dumps(body).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, data, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def quoted(name: str) -> str:
    """A name as a part of a path."""
    return urllib.parse.quote(name, safe="")


def host_of(url: str) -> str:
    """The virtual host of a URL, as a part of a path."""
    return quoted(urllib.parse.unquote(url.split("/", 3)[3]) or "/")


def queues(server: RabbitServer, url: str) -> dict[str, dict[str, Any]]:
    """Queues of a virtual host, by name."""
    return {each["name"]: each for each in manage(server, "GET", f"queues/{host_of(url)}")}


def our_connections(server: RabbitServer) -> dict[str, dict[str, Any]]:
    """Connections of Cloche, by the names that it gives them."""
    found = {}
    for each in manage(server, "GET", "connections"):
        name = each.get("client_properties", {}).get("connection_name", "")
        if name.startswith("cloche-"):
            found[name] = each
    return found


def close_connections(server: RabbitServer, name: str) -> None:
    """Close connections of Cloche with a name, as an administrator would."""

    def closed() -> bool:
        # The API learns of a connection some seconds after it was made.
        found = [
            each for each in our_connections(server).values() if each["client_properties"]["connection_name"] == name
        ]
        for each in found:
            manage(server, "DELETE", f"connections/{quoted(each['name'])}")
        return bool(found)

    eventually(closed, "the connection in the management API")


def make_user(server: RabbitServer, url: str, name: str, configure: str, write: str, read: str) -> str:
    """A user with a password of ``secret`` and these rights in a virtual host; the URL to sign in with."""
    manage(server, "PUT", f"users/{name}", {"password": "secret", "tags": ""})
    rights = {"configure": configure, "write": write, "read": read}
    manage(server, "PUT", f"permissions/{host_of(url)}/{name}", rights)
    return url.replace("guest:guest@", f"{name}:secret@")


@contextmanager
def client(url: str) -> Iterator[amqp.Channel]:
    """A channel of a client of the test's own."""
    parts = urllib.parse.urlsplit(url)
    host = urllib.parse.unquote(parts.path[1:]) or "/"
    with (
        amqp.Connection(f"{HOST}:{parts.port}", virtual_host=host, login_method="PLAIN") as connection,
        connection.channel() as channel,
    ):
        yield channel


def publish(channel: amqp.Channel, bodies: Sequence[str | bytes], **properties: Any) -> None:
    """Send messages to Celery's event exchange, with the properties that Celery gives them."""
    usual = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 1, "priority": 0}
    headers = {"application_headers": {"hostname": "w1@test"}}
    for body in bodies:
        channel.basic_publish(amqp.Message(body, **{**usual, **headers, **properties}), "celeryev", "task.multi")


def declare(channel: amqp.Channel, name: str, **arguments: Any) -> None:
    """A durable queue; underscores in the names of arguments stand for dashes."""
    told = {key.replace("_", "-"): value for key, value in arguments.items()}
    channel.queue_declare(name, durable=True, auto_delete=False, arguments=told)


def send(channel: amqp.Channel, queue: str, number: int = 1) -> None:
    """So many messages into a queue."""
    for _ in range(number):
        channel.basic_publish(amqp.Message("x"), "", queue)
