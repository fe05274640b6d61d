"""Messages of queues as they are shown: what they say, and nothing that is in them is ever run."""

import base64
import json
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from celery import Celery, chain
from redis import Redis

from app.collectors.messages import MAX_SHOWN, read_message, read_parts
from app.models.formats import bytes_
from app.models.records import Message
from tests.helpers.bombs import bz2_bomb, lzma_bomb, zlib_bomb
from tests.helpers.servers import RedisServer


@pytest.fixture
def app(redis_server: RedisServer) -> Iterator[Celery]:
    made = Celery("shop", broker=redis_server.url, set_as_current=False)
    yield made
    made.close()


def sent(app: Celery, client: Redis, **options: Any) -> Message:
    """The message that a real application leaves in its queue."""
    app.send_task("shop.buy", [1, "zwei", {"drei": None}], {"priority": "high"}, queue="mail", **options)
    (key,) = (name for name in client.keys("mail*"))
    raw = client.lindex(key, 0)
    assert isinstance(raw, bytes)
    return read_message(raw)


def test_a_message_of_an_application_says_its_task_and_its_arguments(app: Celery, client: Redis) -> None:
    found = sent(app, client, priority=6, task_id="t1", headers={"tenant": "a"}, retries=2)
    assert (found.id, found.name, found.priority, found.retries) == ("t1", "shop.buy", 6, 2)
    assert (found.args, found.kwargs, found.source) == ('[1, "zwei", {"drei": null}]', '{"priority": "high"}', "body")
    assert json.loads(found.headers or "")["tenant"] == "a"
    assert (found.eta, found.expires, found.note) == (None, None, "")
    assert found.origin is not None
    assert found.size > 500


def test_eta_and_expiry_are_moments(app: Celery, client: Redis) -> None:
    eta, expires = datetime(2027, 1, 1, 12, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC)
    found = sent(app, client, eta=eta, expires=expires)
    assert (found.eta, found.expires) == (eta.timestamp(), expires.timestamp())


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "lzma"])
def test_a_compressed_message_is_read(app: Celery, client: Redis, compression: str) -> None:
    assert sent(app, client, compression=compression).source == "body"


def test_values_that_json_has_not_are_shown_as_kombu_wrote_them(app: Celery, client: Redis) -> None:
    values = [datetime(2027, 1, 1, tzinfo=UTC), Decimal("1.50"), UUID(int=1), b"\xff"]
    app.send_task("shop.buy", values, queue="mail")
    raw = client.lindex("mail", 0)
    assert isinstance(raw, bytes)
    shown = json.loads(read_message(raw).args or "")
    assert [value["__type__"] for value in shown] == ["datetime", "decimal", "uuid", "base64"]
    assert [value["__value__"] for value in shown[1:]] == ["1.50", {"hex": UUID(int=1).hex}, "/w=="]


def test_what_follows_a_task_is_told(app: Celery, client: Redis) -> None:
    steps = [app.signature(f"shop.{name}", app=app) for name in ("buy", "pack", "send")]
    chain(*steps).apply_async(queue="mail")
    raw = client.lindex("mail", 0)
    assert isinstance(raw, bytes)
    found = read_message(raw)
    assert found.name == "shop.buy"
    assert [step["task"] for step in json.loads(found.embed or "")["chain"]] == ["shop.send", "shop.pack"]
    plain = sent(app, client)
    assert plain.embed is None


@pytest.mark.parametrize("compression", ["zstd", "brotli"])
def test_a_compression_that_is_not_read_is_named(compression: str) -> None:
    found = read_message(of("!", headers={"compression": compression}, properties={"body_encoding": "none"}))
    assert found.note == f"Its body is compressed ({compression}) and is not read here: unknown compression."


def test_parts_that_only_amqp_has_are_shown_in_words() -> None:
    death = {"time": datetime(2027, 1, 1, tzinfo=UTC), "count": 2}
    headers = {"task": "t", "x-death": [death], "price": Decimal("1.5")}
    found = read_parts(headers, b'[[1], {}, {"chord": {"task": "end"}}]', None, 255)
    assert (found.args, found.priority, found.size) == ("[1]", 255, 37)
    assert json.loads(found.embed or "") == {"chord": {"task": "end"}}
    shown = death | {"time": "2027-01-01 00:00:00+00:00"}
    assert json.loads(found.headers or "") == {"x-death": [shown], "price": "1.5"}


def test_an_old_protocol_is_read_too(app: Celery, client: Redis) -> None:
    app.conf.task_protocol = 1
    found = sent(app, client, task_id="t1", countdown=60, retries=2, link=app.signature("shop.pack"))
    assert (found.id, found.name, found.source, found.retries) == ("t1", "shop.buy", "body", 2)
    assert json.loads(found.embed or "")["callbacks"][0]["task"] == "shop.pack"
    assert found.args == '[1, "zwei", {"drei": null}]'
    assert found.eta is not None


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("application/x-python-serialize", "pickle, 108 B, which Cloche does not load, as that could run code."),
        ("application/x-yaml", "YAML, 108 B, which Cloche does not load, as that could run code."),
        ("application/x-msgpack", "MessagePack, 108 B, which Cloche does not load."),
        ("application/x-\u202eother", "of the kind “application/x-\\u202eother”, 108 B, which Cloche does not load."),
    ],
)
def test_i03_what_could_run_code_is_not_loaded_and_its_headers_are_shown(kind: str, said: str, tmp_path: Path) -> None:
    marker = tmp_path / "run"
    evil = f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()
    raw = json.dumps(
        {
            "body": base64.b64encode(evil).decode(),
            "content-type": kind,
            "content-encoding": "binary",
            "headers": {"task": "shop.buy", "id": "t1", "argsrepr": "(1,)", "kwargsrepr": "{}"},
            "properties": {"body_encoding": "base64"},
        }
    ).encode()
    found = read_message(raw)
    assert not marker.exists()
    assert (found.id, found.name, found.args, found.source) == ("t1", "shop.buy", "(1,)", "header")
    assert found.note == f"Its body is {said.replace('108 B', bytes_(len(evil)))}"


def of(body: object, **envelope: Any) -> bytes:
    text = body if isinstance(body, str) else base64.b64encode(json.dumps(body).encode()).decode()
    properties = {"body_encoding": "base64"} | envelope.pop("properties", {})
    return json.dumps({"body": text, "content-type": "application/json", "properties": properties} | envelope).encode()


@pytest.mark.parametrize(
    ("raw", "note"),
    [
        (b"", "not a message"),
        (b"\xff\xfe", "not a message"),
        (b"[]", "not a message"),
        (b'{"headers": 5}', "not a message"),
        (b"[" * 100_000, "not a message"),
        (of("!!!"), "can't be read"),
        (of(5), "not that of a task"),
        (of([1, 2]), "not that of a task"),
        (of(base64.b64encode(b"[" * 100_000).decode()), "can't be read"),
        (of("x" * (3 << 20)), "too large"),
        (of(base64.b64encode(zlib.compress(bytes(2 << 20))).decode(), headers={"compression": "gzip"}), "compressed"),
        (of("x", headers={"compression": "brotli"}), "can't be read"),
    ],
)
def test_what_can_not_be_read_is_said_in_a_sentence(raw: bytes, note: str) -> None:
    assert note in read_message(raw).note


@pytest.mark.parametrize(
    ("compression", "body"),
    [("gzip", zlib_bomb), ("bzip2", bz2_bomb), ("lzma", lzma_bomb)],
    ids=["gzip", "bzip2", "lzma"],
)
def test_i04_a_bomb_is_not_inflated(compression: str, body: Callable[[], bytes]) -> None:
    found = read_message(of(base64.b64encode(body()).decode(), headers={"compression": compression, "id": "t1"}))
    assert (found.id, found.args) == ("t1", None)
    assert "compressed" in found.note or "too large" in found.note


def test_whatever_is_shown_is_clean_and_short() -> None:
    evil = "\u202eevil\x1b[31m\x00" + "x" * 20_000
    found = read_message(
        of(
            [[evil], {"k": evil}, {}],
            headers={"task": evil, "id": evil, "origin": evil, "retries": -1, "eta": 5e300, "expires": {}, evil: evil},
            properties={"priority": "high"},
        )
    )
    for text in (found.id, found.name, found.args, found.kwargs, found.origin, found.headers):
        assert text is not None
        assert len(text) < MAX_SHOWN + 100
        assert not {"\u202e", "\x1b", "\x00"} & set(text)
    assert (found.retries, found.eta, found.expires, found.priority) == (0, None, None, None)
