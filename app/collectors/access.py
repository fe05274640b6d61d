"""Whether acting on a broker is allowed at this moment: held where bytes leave, and not where buttons are drawn."""

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final

from app.collectors.clocks import elapsed
from app.collectors.errors import BrokerError
from app.models.acts import Standing
from app.models.profiles import TO_OPERATE, Environment, Mode

#: Seconds for which acting is unlocked.
UNLOCKED: Final = 900.0
_LOCKED: Final = "Acting on this broker is locked. Unlock it first."


class Grant:
    """The right to carry out one act that was begun while acting was unlocked; it ends when somebody locks again."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def end(self) -> None:
        self._ended.set()

    def require(self) -> None:
        """Raises `BrokerError` where it has ended."""
        if self._ended.is_set():
            raise BrokerError("permission", _LOCKED)

    def over(self, allows: Callable[[Sequence[Any]], bool]) -> Callable[[Sequence[Any]], bool]:
        """What lets through what ``allows`` does, as long as this holds; then it raises `BrokerError` of that."""

        def allowed(words: Sequence[Any]) -> bool:
            if not allows(words):
                return False
            self.require()
            return True

        return allowed


class Access:
    """The access mode of a connection, and whether acting is unlocked. May be used from any thread.

    Nothing can be unlocked but *operate* mode. A computer that slept finds itself locked.
    """

    def __init__(self, mode: Mode, environment: Environment = "unknown") -> None:
        self.mode = mode
        self.environment = environment
        self._lock = threading.Lock()
        self._until = 0.0
        self._grants: weakref.WeakSet[Grant] = weakref.WeakSet()

    @property
    def typed(self) -> str:
        """What has to be typed to unlock: the environment, where that is production or may be."""
        return "production" if self.environment in ("production", "unknown") else ""

    def unlock(self, typed: str = "") -> Standing:
        """Unlock acting for a quarter of an hour, or say why not."""
        if self.mode != "operate":
            return Standing(error=_refusal(self.mode))
        if self.typed and typed.strip() != self.typed:
            return Standing(typed=self.typed, error=f"To unlock, type the environment: {self.typed}.")
        with self._lock:
            self._until = elapsed() + UNLOCKED
        return self.standing

    def lock(self) -> Standing:
        """Lock it again, also for what is under way; that the time is over does not end what was begun."""
        with self._lock:
            self._until = 0.0
            grants = list(self._grants)
        for grant in grants:
            grant.end()
        return self.standing

    @property
    def standing(self) -> Standing:
        """How it is now."""
        left = self._until - elapsed()
        return Standing(time.time() + left if left > 0 else None, self.typed)

    @property
    def unlocked(self) -> bool:
        """Whether acting is allowed at this moment."""
        return self.mode == "operate" and elapsed() < self._until

    def grant(self) -> Grant:
        """The right to carry out one act. Raises `BrokerError` where acting is not allowed at this moment."""
        with self._lock:
            if self.mode != "operate":
                raise BrokerError("permission", _refusal(self.mode))
            if not self.unlocked:
                raise BrokerError("permission", _LOCKED)
            grant = Grant()
            self._grants.add(grant)
            return grant


def _refusal(mode: Mode) -> str:
    return f"In the access mode “{mode}” nothing is done to this broker: {TO_OPERATE}."
