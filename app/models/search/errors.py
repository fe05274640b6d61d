"""What is wrong with a search, and where."""


class SearchError(ValueError):
    """A search that can't be understood.

    Attributes: ``message`` without a full stop, ``position`` of the character where the trouble begins, from 0.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} at position {position}.")
        self.message = message
        self.position = position
