"""Whether the server behind an address is the master still: a failover may leave us with the old one, alive."""

import time
from collections.abc import Callable
from typing import Final

from app.collectors.errors import BrokerError

#: Seconds between two questions for the role (SAFETY F03: at most 10).
ROLE_PAUSE: Final = 5.0


class RoleWatch:
    """What ``ROLE`` answered, and what follows from it.

    ``trouble`` has the fault ``moved`` for as long as all connections have to be made anew, since the master is
    elsewhere now, and ``replica`` where it is a replica for good.
    """

    def __init__(self, where: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._where = where
        self._clock = clock
        self._due = 0.0
        self._was_master = False
        self._demoted = False
        self.trouble: BrokerError | None = None

    @property
    def due(self) -> bool:
        """Whether to ask now."""
        return self._clock() >= self._due

    @property
    def searching(self) -> bool:
        """Whether the next question should go over a new connection, which may lead to the new master."""
        return self._demoted

    def asked(self) -> None:
        """Ask again later."""
        self._due = self._clock() + ROLE_PAUSE

    def take(self, reply: object) -> None:
        """An answer to ``ROLE``: ``[b"master", …]`` or ``[b"slave", host, port, …]``; anything else tells nothing."""
        match reply:
            case [b"master", *_]:
                found = self._demoted
                self._was_master, self._demoted = True, False
                self.trouble = self._moved("leads to the new master") if found else None
            case [b"slave", bytes() as host, int() as port, *_]:
                master = f"{host.decode('utf-8', 'replace')}:{port}"
                if self._was_master:
                    self._was_master, self._demoted = False, True
                    self.trouble = self._moved(f"became a replica of {master}")
                else:
                    self.trouble = BrokerError(
                        "replica",
                        f"The broker {self._where} is a replica of {master}. All is seen that comes from there, but "
                        "workers can't be asked. Connect to the master.",
                    )
            case _:
                pass

    def _moved(self, what: str) -> BrokerError:
        return BrokerError("moved", f"The broker {self._where} {what}. All connections are made anew.")
