"""What a ledger says: few words for many ids, and none of those that somebody else made up."""

import itertools
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.collectors.access import Grant
from app.collectors.amqp import amqp_address
from app.collectors.amqp_carrier import Carrier
from app.collectors.amqp_guard import LEDGER, moving
from app.collectors.amqp_ledger import Ledger, as_ranges, new_ids
from app.collectors.errors import BrokerError
from tests.helpers.amqp_raw import Raw, send
from tests.helpers.rabbits import client
from tests.helpers.waiting import eventually

QUARANTINE = "mail.quarantine.20260101T120000000Z"
IDS = st.builds(
    lambda run, number: f"{run}:{number}", st.sampled_from(["0123456789ab", "ffffffffffff"]), st.integers(1, 40)
)


@pytest.fixture
def carrier(rabbitmq_url: str) -> Iterator[Carrier]:
    made = Carrier(amqp_address(rabbitmq_url), moving("mail", "mail", QUARANTINE, Grant()))
    yield made
    made.close()


def read(carrier: Carrier) -> Ledger:
    ledger = Ledger(carrier, QUARANTINE)
    ledger.read()
    return ledger


@given(st.sets(IDS))
def test_ids_are_ranges_and_no_others(ids: set[str]) -> None:
    ranges = as_ranges(ids)
    assert {f"{run}:{n}" for run, some in ranges.items() for first, last in some for n in range(first, last + 1)} == ids
    for some in ranges.values():
        assert all(after[0] > before[1] + 1 for before, after in itertools.pairwise(some))


def test_a_piece_in_its_order_takes_few_words_and_ids_of_others_none() -> None:
    id_of = new_ids()
    (ranges,) = as_ranges(id_of(tag) for tag in range(1, 201)).values()
    assert ranges == [(1, 200)]
    assert as_ranges(["", "x", "0123456789ab:01", "0123456789ab:0", "0123456789ab:" + "9" * 5_000, "other:7"]) == {}


def test_what_is_written_is_read_by_the_next_one(carrier: Carrier) -> None:
    ledger = Ledger(carrier, QUARANTINE)
    ledger.open(new=True)
    id_of = new_ids()
    ids = [id_of(tag) for tag in (3, 1, 2, 9)]
    ledger.write(ids, 4)
    carrier.commit()
    found = read(carrier)
    assert (found.held, found.doubtful) == (4, frozenset(ids))


@pytest.mark.parametrize("page", [b"{}", b"\xff", b'{"held": 1, "open": {"0123456789ab": [[1, 9000000000000]]}}'])
def test_a_ledger_that_somebody_else_wrote_is_refused(rabbitmq_url: str, carrier: Carrier, page: bytes) -> None:
    Ledger(carrier, QUARANTINE).open(new=True)
    with client(rabbitmq_url) as channel:
        send(channel, QUARANTINE + LEDGER, [Raw(b"\0\0", page), Raw(b"\0\0", b"")])
        with pytest.raises(BrokerError, match="somebody else wrote it"):
            eventually(lambda: read(carrier).held != 0, "the page")


def test_pages_are_small_json(carrier: Carrier) -> None:
    """Below 4,096 bytes RabbitMQ keeps them with the queue itself, which costs others nothing."""
    ledger = Ledger(carrier, QUARANTINE)
    id_of = new_ids()
    told = msgspec.json.encode(as_ranges(id_of(tag) for tag in range(1_000_000, 1_000_400, 2)))
    assert len(told) < 4_000
    assert ledger.held is None
