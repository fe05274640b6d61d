"""What can be wrong with a history file, in a sentence for people."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec


class HistoryError(Exception):
    """A history can't be opened, read or written; the text says what happened and what to do."""


class Refused(HistoryError):
    """The disk does not take what is written, or not here: it is full, read-only, held or gone. Later it may."""


class Damaged(HistoryError):
    """What is in the file is no history any more, or never was one."""


@contextmanager
def sensible() -> Iterator[None]:
    """What was read but can't have been written by us is damage like any other."""
    try:
        yield
    except (msgspec.DecodeError, LookupError, TypeError, ValueError) as error:
        raise HistoryError("The history can't be read: it is damaged.") from error
