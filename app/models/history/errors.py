"""What can be wrong with a history file, in a sentence for people."""


class HistoryError(Exception):
    """A history can't be opened, read or written; the text says what happened and what to do."""
