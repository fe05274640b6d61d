"""The properties of messages as bytes: what was changed for a quarantine is as it was when it comes out."""

import amqp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.collectors.amqp import UNREADABLE
from app.collectors.amqp_content import locked, packed, sendable, unlocked, unpacked
from app.collectors.amqp_publish import RawMessage
from tests.helpers.amqp_raw import FIELDS, joined, long, short


def read(properties: bytes) -> dict[str, object]:
    """As py-amqp does."""
    message = amqp.Message()
    message._load_properties(60, properties, 0)
    return dict(message.properties)


@given(st.sets(st.sampled_from(sorted(FIELDS))), st.sampled_from([b"\x01", b"\x02", b"\x00"]))
def test_whatever_a_message_has_is_as_it_was(bits: set[int], mode: bytes) -> None:
    fields = {bit: FIELDS[bit] if bit != 12 else mode for bit in bits}
    properties = joined(fields)
    inside = locked(properties, "run:17")
    assert unlocked(inside) == unlocked(locked(inside, "run:17")), "twice is once"
    assert (unlocked(inside).properties, unlocked(inside).id) == (properties, "run:17")
    assert unlocked(properties).properties == properties
    assert unlocked(properties).id == ""


def test_in_a_quarantine_nothing_expires_goes_with_a_restart_or_is_refused_and_all_else_is_there_to_be_read() -> None:
    fields = {bit: value for bit, value in FIELDS.items() if bit != 14}
    fields[13] = long(short(b"task") + b"S" + long(b"shop.buy"))
    before, inside = read(joined(fields)), read(locked(joined(fields), "r:1"))
    assert before["expiration"] == "60000"
    assert "expiration" not in inside
    assert "user_id" not in inside
    assert inside["delivery_mode"] == 2
    assert isinstance(headers := inside["application_headers"], dict)
    assert headers.pop("x-cloche") == {"id": "r:1", "12": "\x01", "4": "\x05guest", "8": "\x0560000"}
    assert headers == {"task": "shop.buy"}
    for name in ("content_type", "priority", "correlation_id", "reply_to", "message_id", "timestamp", "type", "app_id"):
        assert inside[name] == before[name]


def test_a_message_is_sent_nowhere_else_by_its_headers_and_they_are_not_forgotten() -> None:
    table = (
        short(b"CC") + b"A" + long(b"S" + long(b"other")) + short(b"k") + b"B\x01" + short(b"BCC") + b"A" + long(b"")
    )
    properties = joined({13: long(table), 12: b"\x02"})
    inside = locked(properties, "r:1")
    assert set(read(inside)["application_headers"]) == {"k", "x-cloche"}  # type: ignore[call-overload]
    assert unlocked(inside).properties == properties
    assert read(sendable(properties, "guest")) == {"application_headers": {"k": 1}, "delivery_mode": 2}


@pytest.mark.parametrize(("username", "kept"), [("guest", True), ("other", False), ("gues", False)])
def test_a_user_id_is_sent_by_that_user_only(username: str, *, kept: bool) -> None:
    properties = joined({4: short(b"guest"), 3: short(b"app")})
    assert ("user_id" in read(sendable(properties, username))) == kept
    assert sendable(joined(FIELDS), "guest") == joined(FIELDS)


def test_headers_that_rabbitmq_sorted_and_added_to_come_out_all_the_same() -> None:
    inside = locked(joined({13: long(short(b"z") + b"B\x01"), 8: short(b"5")}), "r:1")
    (flags,), headers = (inside[:2],), inside[2:]
    size = 4 + int.from_bytes(headers[:4], "big")
    entry = headers[4 + len(short(b"z") + b"B\x01") : size]
    table = short(b"a") + b"l" + bytes(8) + entry + short(b"z") + b"B\x01"
    assert unlocked(flags + long(table) + headers[size:]).properties == joined(
        {13: long(short(b"a") + b"l" + bytes(8) + short(b"z") + b"B\x01"), 8: short(b"5")}
    )


@pytest.mark.parametrize("properties", [b"", b"\x00\x01", b"\x80\x00", b"\x00\x00x", b"\x20\x00\x00\x00\x00\x09ab"])
def test_what_is_no_list_of_properties_is_not_taken_for_one(properties: bytes) -> None:
    with pytest.raises(UNREADABLE):
        locked(properties, "r:1")


@given(st.binary(), st.binary())
def test_a_packed_message_is_the_same_unpacked(properties: bytes, body: bytes) -> None:
    assert unpacked(packed(properties, body)) == (properties, body)
    assert packed(b"\0\0", b"x").hex() == "003c0000" + "0000000000000001" + "0000" + "78"


def test_what_is_raw_is_sent_raw() -> None:
    assert RawMessage(b"\0\0", b"x")._serialize_properties() == b"\0\0"
