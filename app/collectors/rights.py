"""Which of our questions a broker answers: each that it refuses costs one ability, and not the others."""

import time
from collections.abc import Callable
from typing import Final

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from app.collectors.errors import BrokerError

#: Seconds until what was refused is asked again: rights do change, but seldom.
ASK_AGAIN: Final = 60.0
#: Names told in a sentence; more are counted.
NAMED: Final = 3

#: What is not known without a command.
_ABILITIES: Final = {
    "LLEN": "how many messages wait",
    "HLEN": "how many messages workers hold",
    "HVALS": "of which queues the messages are that workers hold",
    "MEMORY USAGE": "how long messages wait",
    "LINDEX": "how long messages wait",
    "SCAN": "which queues there are",
    "SSCAN": "which queues there are",
    "ROLE": "whether this is still the master",
}


def is_refused(reply: object) -> bool:
    """Whether a command was refused for good: by an ACL, or because the broker does not know it."""
    return isinstance(reply, NoPermissionError) or (
        isinstance(reply, ResponseError) and "unknown command" in str(reply).lower()
    )


def is_fatal(reply: object) -> bool:
    """Whether a reply says that nothing else would be answered either, as while the broker loads its data."""
    return isinstance(reply, RedisError) and not is_refused(reply) and not str(reply).startswith("WRONGTYPE")


class Rights:
    """What was refused, and when to ask again. Keys are told apart where the refusal is about a key."""

    def __init__(self, where: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._where = where
        self._clock = clock
        self._refused: dict[tuple[str, str], float] = {}

    @property
    def refusing(self) -> bool:
        """Whether anything is refused."""
        return bool(self._refused)

    def may(self, command: str, name: str = "") -> bool:
        """Whether to ask: it was not refused lately, neither at all nor about this name."""
        now = self._clock()
        return all(self._refused.get(each, 0.0) <= now for each in ((command, ""), (command, name)))

    def take(self, command: str, reply: object, name: str = "") -> bool:
        """Learn from a reply; true if it was not a refusal."""
        if not is_refused(reply):
            self._refused.pop((command, ""), None)
            self._refused.pop((command, name), None)
            return True
        about = name if "key" in str(reply) else ""
        self._refused[command, about] = self._clock() + ASK_AGAIN
        return False

    def trouble(self) -> BrokerError | None:
        """What can't be known, and what to grant for it; None where nothing was refused."""
        commands = list(dict.fromkeys(command for command, name in self._refused if not name))
        closed = list(dict.fromkeys(name for _, name in self._refused if name))
        if not commands and not closed:
            return None
        missing = [f"{_ABILITIES[command]} ({command})" for command in commands]
        grants = [f"+{command.lower().replace(' ', '|')}" for command in commands]
        if closed:
            more = f" and {len(closed) - NAMED} more" if len(closed) > NAMED else ""
            missing.append(f"what is under the keys {', '.join(closed[:NAMED])}{more}")
            grants.append("%R~ with these keys")
        text = f"The broker {self._where} does not permit it to be seen {', '.join(missing)}."
        return BrokerError("permission", f"{text} All else works. Grant the user {' '.join(grants)}.")
