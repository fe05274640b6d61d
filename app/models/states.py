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

#: Our own words: its worker was lost while it had the task; we did not listen while it was open; its worker gave it
#: back when the worker's connection to the broker was lost.
LOST: Final = "LOST"
UNKNOWN: Final = "UNKNOWN"
CANCELLED: Final = "CANCELLED"

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
    LOST: "Lost?",
    UNKNOWN: "Unknown",
}
