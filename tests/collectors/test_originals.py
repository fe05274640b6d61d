"""Messages read as they lie in a broker, of both protocols of Celery's, as Celery itself makes them."""

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from amqp import Message
from celery import Celery
from hypothesis import given
from hypothesis import strategies as some

from app.collectors.amqp_content import packed
from app.collectors.envelope import Known, Original, again, arguments_of, for_amqp, for_redis, made
from app.collectors.originals import Unreadable, of_amqp, of_redis

Change = Callable[[dict[str, Any]], object]
CALL: dict[str, Any] = {"args": (1, "two", {"three": [3.5, None]}), "kwargs": {"four": "żółć"}}


def raw(id_: str = "old") -> dict[str, Any]:
    message = made(Known(name="shop.bill", args=[2, 3], kwargs={}, id=id_))
    told: dict[str, Any] = json.loads(for_redis(message, "", "celery"))
    return told


def of_protocol_1(*, compressed: bool = False, **options: Any) -> dict[str, Any]:
    """A message in a list of Redis as Celery makes it with ``task_protocol = 1``."""
    told = Celery(set_as_current=False).amqp.as_task_v1("old", "shop.bill", **(CALL | options))
    body = json.dumps(told.body).encode()
    info = {"exchange": "shop", "routing_key": "order"}
    return {
        "body": base64.b64encode(zlib.compress(body) if compressed else body).decode(),
        "content-type": "application/json", "content-encoding": "utf-8",
        "headers": dict(told.headers) | ({"compression": "application/x-gzip"} if compressed else {}),
        "properties": {**told.properties, "delivery_info": info, "body_encoding": "base64", "priority": 3},
    }  # fmt: skip


def read(told: dict[str, Any]) -> Original:
    return of_redis(json.dumps(told))


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.pop("headers"),
        lambda told: told.pop("properties"),
        lambda told: told["headers"].pop("task"),
        lambda told: told["headers"].update(id=7),
        lambda told: told.update(body="!!!"),
        lambda told: told.update(body=7),
        lambda told: told["properties"].update(priority="high"),
        lambda told: told["properties"].pop("delivery_info"),
    ],
)
def test_what_is_no_message_of_a_task_is_not_taken_for_one(change: Change) -> None:
    told = raw()
    change(told)
    with pytest.raises(Unreadable, match="Its message is there, but"):
        read(told)


@given(some.binary() | some.text().map(str.encode))
def test_no_bytes_are_too_odd(data: bytes) -> None:
    with pytest.raises(Unreadable):
        of_redis(data)
    with pytest.raises(Unreadable):
        of_amqp(data, "celery")
    with pytest.raises(Unreadable):
        of_amqp(packed(b"\0\0", data), "celery")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_message_of_protocol_1_is_read_into_the_form_of_protocol_2(*, compressed: bool) -> None:
    link: list[dict[str, object]] = [{"task": "shop.then", "args": [], "kwargs": {}, "options": {}, "immutable": True}]
    found = read(of_protocol_1(compressed=compressed, time_limit=50, soft_time_limit=40, callbacks=link, retries=2))
    assert (found.protocol, found.exchange, found.routing_key) == (1, "shop", "order")
    assert arguments_of(found.message) == ([1, "two", {"three": [3.5, None]}], CALL["kwargs"])
    sent = again(found, "new", 0.0)
    assert {key: sent.message.headers[key] for key in ("task", "id", "root_id", "parent_id", "retries")} == {
        "task": "shop.bill", "id": "new", "root_id": "old", "parent_id": "old", "retries": 0,
    }  # fmt: skip
    assert (sent.message.headers["timelimit"], sent.message.priority) == ([50, 40], 3)
    assert "compression" not in sent.message.headers
    assert sent.kept == ["priority 3", "time limits", "link"]
    assert json.loads(sent.message.body)[2]["callbacks"] == link


def test_of_protocol_1_the_place_in_a_chord_is_not_kept() -> None:
    sent = again(read(of_protocol_1(group_id="g", chord={"task": "end", "options": {}})), "new", 0.0)
    assert any("chord" in lost for lost in sent.lost)
    assert (sent.message.headers["group"], json.loads(sent.message.body)[2]["chord"]) == (None, None)


def test_of_protocol_1_it_expires_as_long_after_it_is_sent_as_before() -> None:
    told = of_protocol_1(expires=3_000.0)
    told["properties"]["expiration"] = "3000000"
    message = again(read(told), "new", 1_000.0).message
    assert (message.headers["expires"], message.expiration) == ("1970-01-01T01:06:40+00:00", "3000000")


def test_what_of_protocol_1_is_not_known_is_refused_with_a_sentence() -> None:
    pickled = of_protocol_1()
    pickled["content-type"] = "application/x-python-serialize"
    with pytest.raises(Unreadable, match=r"protocol 1.*x-python-serialize is not loaded"):
        read(pickled)
    for body in ({"task": "a", "id": 7}, {"task": "a"}, [1], {"task": "a", "id": "b", "kwargs": [1]}):
        told = of_protocol_1()
        told["body"] = base64.b64encode(json.dumps(body).encode()).decode()
        with pytest.raises(Unreadable, match="no form of Celery's"):
            read(told)
    with pytest.raises(Unreadable, match="clock"):
        read(of_protocol_1() | {"body": base64.b64encode(
            b'{"task": "a", "id": "b", "utc": false, "expires": "2026-01-01T00:00:00"}'
        ).decode()})  # fmt: skip


def test_rabbitmq_is_read_as_it_is_written() -> None:
    message = msgspec.structs.replace(read(raw()).message, priority=6, expiration="60000")
    sent = for_amqp(message)
    found = of_amqp(packed(sent._serialize_properties(), sent.body), "mail")
    assert found == Original(message, "", "mail")


def test_of_rabbitmq_a_message_of_protocol_1_is_read_too() -> None:
    told = Celery(set_as_current=False).amqp.as_task_v1("old", "shop.bill", **CALL)
    sent = Message(json.dumps(told.body), content_type="application/json", application_headers={}, correlation_id="old")
    found = of_amqp(packed(sent._serialize_properties(), sent.body.encode()), "mail")
    assert (found.protocol, found.message.id, found.routing_key) == (1, "old", "mail")
    assert arguments_of(found.message) == ([1, "two", {"three": [3.5, None]}], CALL["kwargs"])
