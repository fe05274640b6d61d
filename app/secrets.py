"""Passwords: a type that never shows what it holds, and no picture of the memory that holds them on a disk."""

import sys


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


def dump_no_core() -> None:
    """Have this process, and those that it starts, leave no core file when they crash: passwords would be in it."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not there on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
