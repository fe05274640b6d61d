"""Messages between window and collector: whole through any pipe, and a wrong peer is told apart in a sentence."""

import itertools
import struct
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.wire import (
    MAGIC,
    MAX_FRAME,
    VERSION,
    Committed,
    Configure,
    Deframer,
    Examine,
    Found,
    Health,
    Keeping,
    Message,
    Notice,
    WireError,
    frame,
)

MESSAGES: list[Message] = [
    Configure("shop", "redis://h:1/0", "/tmp/h", "p\u00e4ss", "operate", {"sep": "\x06\x16"}, ["a", "b"]),
    Configure("shop", "redis://h:1/0", "/tmp/h"),
    Configure("shop", "redis://h:1/0", "/tmp/h", keep_seconds=None, keep_bytes=None, temporary=False),
    Examine("redis://h:1/0", "p\u00e4ss", {"sep": ":"}, "passive", connect=False),
    Found("workers", None, "none answers.", "Start a worker."),
    Committed(7, 1795230000.25),
    Keeping("/tmp/\u6728.cloche", fresh=True),
    Health("disconnected", "The broker went away.", 1.5, 0.25, 3.0, 9, 1795230000.0),
    Health(),
    Notice("history", "Free space on the disk. 木 \u202e", "error"),
    Notice("history", ""),
]


def received(deframer: Deframer, *pieces: bytes) -> list[Message]:
    return [message for piece in pieces for message in deframer.feed(piece)]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_received_as_it_was_sent(message: Message) -> None:
    assert received(Deframer(), frame(message)) == [message]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(MESSAGES), max_size=6), st.lists(st.integers(0, 2_000), max_size=12))
def test_messages_are_whole_however_the_pipe_cuts_them(messages: list[Message], cuts: list[int]) -> None:
    stream = b"".join(map(frame, messages))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(edges)]
    assert received(Deframer(), *pieces) == messages


def test_a_message_is_received_with_its_last_byte_and_not_before() -> None:
    deframer, stream = Deframer(), frame(MESSAGES[0])
    assert received(deframer, *(stream[at : at + 1] for at in range(len(stream) - 1))) == []
    assert received(deframer, stream[-1:]) == [MESSAGES[0]]


@pytest.mark.parametrize(
    "peer", [b"HTTP/1.1 200 OK\r\n\r\n", b"Traceback (most recent call last)", b"\x00" * 9, b"+PONG\r\n  "]
)
def test_another_program_is_not_taken_for_a_collector(peer: bytes) -> None:
    with pytest.raises(WireError, match="not a collector of Cloche"):
        received(Deframer(), peer)


def test_another_version_is_told_apart_and_says_what_to_do() -> None:
    other = struct.pack(">4sBI", MAGIC, VERSION + 1, 2) + b"{}"
    with pytest.raises(WireError, match=f"version {VERSION + 1} .* this window {VERSION}. Restart Cloche"):
        received(Deframer(), other)


def test_a_frame_that_is_too_long_is_not_waited_for() -> None:
    with pytest.raises(WireError, match="not a collector"):
        received(Deframer(), struct.pack(">4sBI", MAGIC, VERSION, MAX_FRAME + 1))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"type": "Explode"}',
        b'{"type": "Notice"}',
        b'{"type": "Notice", "key": 5, "text": ""}',
        b'{"type": "Health", "state": "happy"}',
        b'{"type": "Notice", "key": "\xff\xfe", "text": ""}',
        b'{"type": "Committed", "seq": 1, "at": NaN}',
        b"[" * 100_000,
        b'{"type": "Notice", "key": "", "text": "", "x": ' + b"[" * 100_000,
    ],
)
def test_a_message_that_can_not_be_read_is_a_wire_error(body: bytes) -> None:
    with pytest.raises(WireError, match="could not be read"):
        received(Deframer(), struct.pack(">4sBI", MAGIC, VERSION, len(body)) + body)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_fuzz_any_bytes_are_refused_or_waited_on(data: bytes, framed: bool) -> None:
    stream = struct.pack(">4sBI", MAGIC, VERSION, len(data)) + data if framed else data
    found: list[Message] = []
    with suppress(WireError):
        found = received(Deframer(), stream)
    assert found == [] or msgspec.json.decode(data)


def test_no_password_is_in_any_message_but_the_first() -> None:
    kinds = (Configure, Committed, Health, Notice)
    assert [kind for kind in kinds if "password" in kind.__struct_fields__] == [Configure]
