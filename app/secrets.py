"""Passwords: a type that never shows what it holds."""


class Secret:
    """Text that is not printed, logged or compared by accident; only `reveal` gives it out."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends it to a broker."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__
