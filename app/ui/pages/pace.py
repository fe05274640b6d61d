"""How often a question is asked again."""

import time
from typing import Final

#: An answer that took longer than this, in seconds, makes its question rest for so many times as long: others wait too.
_LONG: Final = 0.02
_REST: Final = 8.0


class Pace:
    """When one question is due: ``least`` seconds after its last answer, and later if that answer took long."""

    def __init__(self, least: float = 0.0) -> None:
        self._least = least
        self._due = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to ask."""
        return time.monotonic() >= self._due

    def answered(self, took: float) -> None:
        """The answer came, and took so many seconds to find."""
        self._due = time.monotonic() + max(self._least, took * _REST if took > _LONG else 0.0)

    def hurry(self) -> None:
        """Be due at once: the question is another one now."""
        self._due = 0.0
