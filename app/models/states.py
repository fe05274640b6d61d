"""Task states in Celery's own words, their precedence, and the words people read."""

from typing import Final

PENDING: Final = "PENDING"
RECEIVED: Final = "RECEIVED"
STARTED: Final = "STARTED"
SUCCESS: Final = "SUCCESS"
FAILURE: Final = "FAILURE"
RETRY: Final = "RETRY"
REVOKED: Final = "REVOKED"
REJECTED: Final = "REJECTED"

STATES: Final = (PENDING, RECEIVED, STARTED, RETRY, SUCCESS, FAILURE, REVOKED, REJECTED)

#: A task in one of these is over; only a later attempt can open it again.
FINAL: Final = frozenset({SUCCESS, FAILURE, REVOKED, REJECTED})

#: What the window calls each state. A custom state (``PROGRESS`` …) is shown as it is.
WORDS: Final = {
    PENDING: "Pending",
    RECEIVED: "Received",
    STARTED: "Running",
    SUCCESS: "Succeeded",
    FAILURE: "Failed",
    RETRY: "Retrying",
    REVOKED: "Revoked",
    REJECTED: "Rejected",
}

#: Highest wins when events of one attempt arrive out of order (``celery.states.precedence``).
#: A custom state ranks between FAILURE and REVOKED, as in Celery.
PRECEDENCE: Final = {
    SUCCESS: 8,
    FAILURE: 7,
    # custom states: 6
    REVOKED: 5,
    STARTED: 4,
    RECEIVED: 3,
    REJECTED: 2,
    RETRY: 1,
    PENDING: 0,
}
CUSTOM_PRECEDENCE: Final = 6


def precedence(state: str) -> int:
    """Rank of a state, standard or custom, within one attempt; a higher rank replaces a lower one."""
    return PRECEDENCE.get(state, CUSTOM_PRECEDENCE)
