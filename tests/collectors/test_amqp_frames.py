"""Bytes of an AMQP connection put together to messages: wherever they are cut, however they are made."""

import struct
from itertools import pairwise
from typing import Any

import amqp
import pytest
from amqp import spec
from amqp.exceptions import UnexpectedFrame
from amqp.serialization import loads
from hypothesis import given
from hypothesis import strategies as st

from app.collectors.amqp_frames import (
    MAX_FRAME,
    Content,
    Cutter,
    Frames,
    Method,
    content_type_and_compression,
    published,
)
from app.collectors.subscriber import DamagedStream

HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"


def method(signature: tuple[int, int], arguments: bytes = b"") -> bytes:
    return frame(1, struct.pack(">HH", *signature) + arguments)


def header(size: int, **properties: Any) -> bytes:
    """The header frame's payload, as py-amqp writes it."""
    told: bytes = amqp.Message("", **properties)._serialize_properties()
    return struct.pack(">HHQ", 60, 0, size) + told


def delivery(body: bytes, *cuts: int, **properties: Any) -> bytes:
    """A delivered message; its body in frames that end at these places."""
    edges = [0, *(cut for cut in cuts if cut < len(body)), len(body)]
    parts = [body[start:stop] for start, stop in pairwise(edges) if start < stop]
    bodies = b"".join(frame(3, part) for part in parts)
    return method(spec.Basic.Deliver, b"\x01t" + b"\0" * 12) + frame(2, header(len(body), **properties)) + bodies


def fed(frames: Frames, *pieces: bytes) -> tuple[list[bytes], list[Method]]:
    bodies: list[bytes] = []
    methods: list[Method] = []
    for piece in pieces:
        contents, more = frames.feed(piece)
        bodies += [body for _, body in contents]
        methods += more
    return bodies, methods


def test_messages_come_out_wherever_the_bytes_are_cut() -> None:
    stream = (
        delivery(b"first") + HEARTBEAT + delivery(b"") + method(spec.Queue.DeclareOk, b"q") + delivery(b"abcdef", 2, 5)
    )
    expected = ([b"first", b"", b"abcdef"], [Method(spec.Queue.DeclareOk, b"q")])
    assert fed(Frames(100), stream) == expected
    for at in range(1, len(stream)):
        assert fed(Frames(100), stream[:at], stream[at:]) == expected, at
    assert fed(Frames(100), *(stream[at : at + 1] for at in range(len(stream)))) == expected


@given(
    st.lists(st.binary(max_size=60), max_size=8),
    st.lists(st.integers(0, 1_000), max_size=12),
    st.lists(st.integers(1, 59), max_size=3),
)
def test_any_messages_come_out_of_any_pieces(bodies: list[bytes], cuts: list[int], frames: list[int]) -> None:
    stream = b"".join(delivery(body, *sorted(set(frames))) for body in bodies)
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    pieces = [stream[start:stop] for start, stop in pairwise(edges)]
    assert fed(Frames(100), *pieces) == (bodies, [])


def test_a_body_that_is_too_long_is_cut_off_and_the_next_message_is_whole() -> None:
    body = bytes(range(256)) * 2_000
    cuts = range(MAX_FRAME, len(body), MAX_FRAME)
    bodies, _ = fed(Frames(200_000), delivery(body, *cuts) + delivery(b"next"))
    assert bodies == [body[: 2 * MAX_FRAME], b"next"]


def test_a_whole_message_of_many_frames_is_put_together() -> None:
    body = bytes(range(256)) * 2_000
    bodies, _ = fed(Frames(len(body)), delivery(body, *range(MAX_FRAME, len(body), MAX_FRAME)))
    assert bodies == [body]


@pytest.mark.parametrize(
    "stream",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"AMQP\x00\x00\x09\x01 and then something",
        frame(3, b"a body that nobody announced"),
        frame(2, header(5)) + frame(2, header(5)),
        frame(2, header(5)) + frame(3, b"123456"),
        frame(2, b"short"),
        frame(1, b"x"),
        frame(4, b"no such kind"),
        struct.pack(">BHI", 3, 1, MAX_FRAME + 1) + b"x" * 10,
        method(spec.Queue.DeclareOk)[:-1] + b"\x00",
    ],
)
def test_what_is_no_amqp_is_said_to_be_damaged(stream: bytes) -> None:
    with pytest.raises(DamagedStream):
        Frames(1_000).feed(stream)


@given(st.binary(max_size=300))
def test_junk_is_refused_or_waited_for_and_nothing_else(junk: bytes) -> None:
    try:
        contents, _ = Frames(100).feed(junk)
    except DamagedStream:
        return
    assert contents == []


@pytest.mark.parametrize(
    ("properties", "found"),
    [
        ({}, (None, None)),
        ({"content_type": "application/json"}, ("application/json", None)),
        ({"content_encoding": "utf-8"}, (None, None)),
        ({"content_type": "a", "content_encoding": "b", "application_headers": {}}, ("a", None)),
        ({"application_headers": {"compression": "application/x-gzip"}}, (None, "application/x-gzip")),
        (
            {
                "content_type": "application/json",
                "content_encoding": "utf-8",
                "application_headers": {
                    "hostname": "w1@host", "n": 5, "f": 1.5, "t": True, "none": None, "big": 1 << 40,
                    "nested": {"compression": "not this", "deep": [1, {"x": "y"}]}, "bytes": b"\xff\xfe",
                    "compression": "application/x-bz2", "more": "x",
                },
                "delivery_mode": 1,
                "priority": 0,
            },
            ("application/json", "application/x-bz2"),
        ),
        ({"application_headers": {"compression": 5}}, (None, None)),
    ],
)  # fmt: skip
def test_content_type_and_compression_are_found_among_properties(
    properties: dict[str, Any], found: tuple[str | None, str | None]
) -> None:
    assert content_type_and_compression(header(3, **properties)) == found


def test_headers_of_any_depth_are_passed_over() -> None:
    nested = b""
    for _ in range(20_000):
        nested = b"\x01a" + b"F" + struct.pack(">I", len(nested)) + nested
    table = nested + b"\x0bcompression" + b"S" + struct.pack(">I", 4) + b"gzip"
    properties = struct.pack(">H", 1 << 13) + struct.pack(">I", len(table)) + table
    assert content_type_and_compression(b"\0" * 12 + properties) == (None, "gzip")


@given(st.binary(max_size=80))
def test_properties_that_are_none_say_nothing(properties: bytes) -> None:
    kind, compression = content_type_and_compression(b"\0" * 12 + properties)
    assert kind is None or isinstance(kind, str)
    assert compression is None or isinstance(compression, str)


def test_a_content_is_its_header_and_its_body() -> None:
    (content,), _ = Frames(100).feed(delivery(b"{}", content_type="application/json"))
    expected: Content = (header(2, content_type="application/json"), b"{}")
    assert content == expected


def test_frames_are_the_same_wherever_the_bytes_are_cut() -> None:
    stream = method(spec.Tx.CommitOk) + HEARTBEAT + delivery(b"abcdef", 2, 5)
    whole = Cutter()
    whole.feed(stream)
    assert [kind for kind, _, _ in whole.frames] == [1, 8, 1, 2, 3, 3, 3]
    for at in range(len(stream)):
        cut = Cutter()
        cut.feed(stream[:at])
        cut.feed(stream[at:])
        assert cut.frames == whole.frames


@pytest.mark.parametrize("damaged", [b"\x01\0\x01\0\0\0\x01xy", struct.pack(">BHI", 3, 1, MAX_FRAME + 1) + b"x"])
def test_what_are_no_frames_is_refused(damaged: bytes) -> None:
    with pytest.raises(UnexpectedFrame):
        Cutter().feed(damaged)


@given(st.binary(max_size=200), st.integers(16, 64))
def test_what_is_published_is_in_frames_of_the_size_that_was_agreed(body: bytes, most: int) -> None:
    cutter = Cutter()
    cutter.feed(published(7, "mail", b"\0\0", body, most))
    (_, _, told), (kind, _, head), *bodies = cutter.frames
    assert {channel for _, channel, _ in cutter.frames} == {7}
    arguments, _ = loads("Bssbb", told, 4)
    assert (struct.unpack_from(">HH", told), arguments) == (spec.Basic.Publish, [0, "", "mail", True, False])
    assert (kind, head) == (2, struct.pack(">HHQ", 60, 0, len(body)) + b"\0\0")
    assert b"".join(payload for _, _, payload in bodies) == body
    assert all(kind == 3 and len(payload) <= most - 8 for kind, _, payload in bodies)
