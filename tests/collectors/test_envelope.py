"""Messages that ask for a task: as Celery makes them, and once more as they were."""

import base64
import json
import zlib
from typing import Any

import msgspec
import pytest
from celery import Celery

from app.collectors.envelope import (
    Again,
    Known,
    Original,
    TaskMessage,
    Unfaithful,
    again,
    arguments_of,
    for_amqp,
    for_redis,
    made,
    new_id,
)
from app.collectors.originals import of_redis

NOW = 1_800_000_000.0
PICKLE = "application/x-python-serialize"


def raw(*, body: Any = None, properties: dict[str, Any] | None = None, **headers: Any) -> bytes:
    """A message in a list of Redis, as PROTOCOL 5 has it."""
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    value = [[2, 3], {}, embed] if body is None else body
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    kind = headers.pop("content_type", "application/json")
    own: dict[str, Any] = {
        "lang": "py", "task": "shop.bill", "id": "old", "shadow": None, "eta": None, "expires": None, "group": None,
        "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": "old", "parent_id": None,
        "argsrepr": "(2, 3)", "kwargsrepr": "{}", "origin": "gen1@host", "ignore_result": False,
        "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
    }  # fmt: skip
    info: dict[str, Any] = {
        "correlation_id": "old", "reply_to": "somebody", "delivery_mode": 2, "priority": 0, "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": "celery"}, "delivery_tag": "tag",
    }  # fmt: skip
    envelope = {
        "body": base64.b64encode(data).decode(), "content-encoding": "utf-8", "content-type": kind,
        "headers": own | headers, "properties": info | (properties or {}),
    }  # fmt: skip
    return json.dumps(envelope).encode()


def original(*, sent: float | None = None, **what: Any) -> Original:
    return msgspec.structs.replace(of_redis(raw(**what)), sent=sent)


def sent_again(edited: Any = None, **what: Any) -> Again:
    return again(original(**what), "new", NOW, edited)


def test_a_new_message_is_what_celery_itself_would_send() -> None:
    app = Celery(set_as_current=False)
    theirs = app.amqp.as_task_v2("id", "shop.bill", [1, "é"], {"a": 1.5}, time_limit=9, soft_time_limit=8)
    ours = made(Known(name="shop.bill", args=[1, "é"], kwargs={"a": 1.5}, id="id", time_limit=9, soft_time_limit=8))
    differs = {key for key, value in theirs.headers.items() if ours.headers[key] != value}
    assert differs == {"origin"}
    assert ours.headers.keys() == theirs.headers.keys()
    assert json.loads(ours.body) == [[1, "é"], {"a": 1.5}, theirs.body[2]]
    app.close()


def test_a_message_is_sent_again_byte_for_byte_but_for_what_would_not_be_true() -> None:
    brokers: dict[str, Any] = {"x-death": [{}], "x-delivery-count": 2, "CC": ["a"]}
    found = original(
        retries=3, eta="2020-01-01T00:00:00+00:00", redelivered=True, parent_id="before", root_id="root",
        timelimit=[9, 8], shadow="x", mine="yes", stamped_headers=["customer"], stamps={"customer": ["7"]},
        properties={"priority": 6, "delivery_mode": 1}, **brokers,
    )  # fmt: skip
    made_ = again(found, "new", NOW)
    new, old = made_.message, found.message
    gone = ("redelivered", "x-death", "x-delivery-count", "CC")
    assert new.body is old.body
    assert (new.priority, new.delivery_mode, new.content_type) == (6, 1, "application/json")
    assert new.headers == {
        **{key: value for key, value in old.headers.items() if key not in gone},
        "id": "new", "eta": None, "retries": 0, "root_id": "root", "parent_id": "old", "origin": "cloche",
        "retried_from": "old",
    }  # fmt: skip
    assert {"priority 6", "time limits", "shadow name", "stamps"} < {*made_.kept}
    assert made_.lost == []


def test_a_message_on_redis_has_an_id_and_a_tag_of_its_own() -> None:
    told = json.loads(for_redis(sent_again().message, "", "celery"))
    assert told["properties"]["correlation_id"] == told["headers"]["id"] == "new"
    assert told["properties"]["delivery_tag"] not in ("tag", "")
    assert told["properties"]["reply_to"] == ""
    assert told["properties"]["delivery_info"] == {"exchange": "", "routing_key": "celery"}


def test_it_expires_as_long_after_it_is_sent_as_before() -> None:
    told = sent_again(expires="2020-01-01T00:01:00+00:00", properties={"expiration": "60000"}).message
    assert (told.headers["expires"], told.expiration) == ("2027-01-15T08:01:00+00:00", "60000")
    told = again(original(expires="2020-01-01T00:01:00", sent=1577836800.0), "new", NOW).message
    assert (told.headers["expires"], told.expiration) == ("2027-01-15T08:01:00+00:00", "60000")
    unknown = sent_again(expires="2020-01-01T00:01:00+00:00")
    assert unknown.message.headers["expires"] is None
    assert any("expiry" in what for what in unknown.lost)


@pytest.mark.parametrize(
    ("expiration", "sent"), [("9" * 13, None), ("9" * 400, None), ("9" * 5_000, None), (None, 1577836800.0)]
)
def test_who_sets_the_end_of_time_sets_none(expiration: str | None, sent: float | None) -> None:
    told = again(
        original(expires="9999-12-31T23:59:59+00:00", properties={"expiration": expiration}, sent=sent), "new", NOW
    )
    assert (told.message.headers["expires"], told.message.expiration) == (None, None)
    assert any("expiry" in what for what in told.lost)


@pytest.mark.parametrize("stamped", [5, "text", [[1]], {"a": 1}])
def test_stamps_that_are_none_are_carried_and_do_no_harm(stamped: object) -> None:
    told = sent_again(stamped_headers=stamped)
    assert told.message.headers["stamped_headers"] == stamped
    assert "stamps" not in told.kept


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_body_in_another_encoding_is_carried_and_not_guessed_at(encoding: str) -> None:
    body = json.dumps([["Ã©"], {}, {"chord": {"task": "d"}}], ensure_ascii=False).encode(encoding)
    odd = json.loads(raw(body=body)) | {"content-encoding": encoding}
    found = of_redis(json.dumps(odd).encode())
    told = again(found, "new", NOW)
    assert (told.message.body, told.message.content_encoding) == (body, encoding)
    odd["headers"]["group"] = "g"
    with pytest.raises(Unfaithful, match="encoding"):
        again(of_redis(json.dumps(odd).encode()), "new", NOW)


def test_what_follows_a_task_goes_along_and_its_chord_does_not() -> None:
    embed = {"callbacks": [{"task": "a"}], "errbacks": [{"task": "b"}], "chain": [{"task": "c"}], "chord": None}
    plain = sent_again(body=[[1.0], {}, embed])
    assert plain.message.body == json.dumps([[1.0], {}, embed]).encode()
    assert plain.kept == ["link", "link_error", "the rest of its chain"]
    member = sent_again(
        body=[[1.0, float("nan")], {"k": "\ud800"}, embed | {"chord": {"task": "d"}}], group="g", group_index=1
    )
    args, kwargs, told = json.loads(member.message.body)
    assert (repr(args), kwargs, told) == ("[1.0, nan]", {"k": "\ud800"}, embed)
    assert (member.message.headers["group"], member.message.headers["group_index"]) == (None, None)
    assert any("chord" in what for what in member.lost)


def test_a_compressed_body_stays_so_unless_it_has_to_be_changed() -> None:
    body = zlib.compress(json.dumps([[1], {}, {"chord": {"task": "d"}}]).encode())
    member = sent_again(body=body, compression="application/x-gzip")
    assert "compression" not in member.message.headers
    assert json.loads(member.message.body)[2]["chord"] is None
    body = zlib.compress(json.dumps([[1], {}, {}]).encode())
    same = sent_again(body=body, compression="application/x-gzip").message
    assert (same.body, same.headers["compression"]) == (body, "application/x-gzip")


def test_a_pickled_body_is_carried_and_never_opened() -> None:
    carried = sent_again(body=b"cos\nsystem\n(S'false'\ntR.", content_type=PICKLE)
    assert (carried.message.body, carried.message.content_type) == (b"cos\nsystem\n(S'false'\ntR.", PICKLE)
    assert arguments_of(carried.message) is None
    with pytest.raises(Unfaithful, match="chord"):
        sent_again(body=b"\x80", content_type=PICKLE, group="g")


def test_other_arguments_replace_those_of_a_message_and_what_follows_stays() -> None:
    embed = {"callbacks": [{"task": "a"}], "errbacks": None, "chain": None, "chord": None}
    told = sent_again(([7], {"k": 1}), body=[[1], {}, embed], mine="yes").message
    assert json.loads(told.body) == [[7], {"k": 1}, embed]
    assert (told.headers["argsrepr"], told.headers["kwargsrepr"], told.headers["mine"]) == ("[7]", "{'k': 1}", "yes")
    pickled = sent_again(([7], {}), body=b"\x80", content_type=PICKLE, compression="application/x-gzip")
    assert json.loads(pickled.message.body)[0] == [7]
    assert pickled.message.content_type == "application/json"
    assert "compression" not in pickled.message.headers
    assert any("link" in what for what in pickled.lost)


def test_an_act_gives_a_task_the_same_id_each_time() -> None:
    assert new_id("act", "old") == new_id("act", "old")
    assert len({new_id("act", "old"), new_id("act", "other"), new_id("other", "old")}) == 3


def test_rabbitmq_gets_the_same() -> None:
    message = msgspec.structs.replace(original(mine="yes").message, priority=6, expiration="60000")
    told = for_amqp(message)
    assert (told.body, told.properties["application_headers"]) == (message.body, message.headers)
    assert {key: value for key, value in told.properties.items() if key != "application_headers"} == {
        "content_type": "application/json", "content_encoding": "utf-8", "correlation_id": "old", "delivery_mode": 2,
        "priority": 6, "expiration": "60000",
    }  # fmt: skip
    assert "priority" not in for_amqp(TaskMessage({"id": "x"}, b"")).properties
