"""Messages that nobody should send to the event exchange and anybody can, and what has to become of each."""

from typing import Final

from tests.helpers.events import T0, envelope, raw
from tests.helpers.hostile_case import Case
from tests.helpers.hostile_envelopes import ENVELOPES
from tests.helpers.hostile_fields import FIELDS
from tests.helpers.hostile_payloads import PAYLOADS
from tests.helpers.hostile_texts import TEXTS

CASES: Final[tuple[Case, ...]] = (*ENVELOPES, *FIELDS, *TEXTS, *PAYLOADS)


def good(number: int) -> bytes:
    """The good message that has to survive whatever came before it."""
    return envelope([raw("task-started", uuid=f"good-{number}", timestamp=T0 + number)])
