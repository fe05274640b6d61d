"""What can be wrong with a broker: a state with a name, and a sentence with what to do."""

from typing import Final, Literal

from app.models.wire import SIGN_IN_REFUSED

Fault = Literal[
    "address", "name", "network", "tunnel", "slow", "auth", "permission", "full", "loading", "script", "replica",
    "moved", "memory", "disk", "cluster", "asleep", "clock", "protocol", "busy", "absent", "blocked",
]  # fmt: skip

#: A refusal is tried again this rarely, so that no account gets locked (SAFETY F08).
AUTH_PAUSE: Final = 30.0

#: What a connection with a fault is, in two or three words.
NAMES: Final[dict[Fault, str]] = {
    "address": "wrong address",
    "name": "name not found",
    "network": "not reached",
    "tunnel": "no tunnel",
    "slow": "slow",
    "auth": SIGN_IN_REFUSED,
    "permission": "not permitted",
    "full": "no connection left",
    "loading": "loading",
    "script": "blocked by a script",
    "replica": "a replica",
    "moved": "switching over",
    "memory": "out of memory",
    "disk": "can't save",
    "cluster": "cluster is down",
    "asleep": "waking up",
    "clock": "clock was set",
    "protocol": "not understood",
    "busy": "not ready",
    "absent": "no such queue",
    "blocked": "blocks publishers",
}


class BrokerError(Exception):
    """A broker can't be used as asked; ``fault`` tells the kind, the text is a sentence with what to do.

    ``since`` is when that began, where it is known to have been before it was noticed; ``option`` the one that is wrong
    where it is not the address itself.
    """

    def __init__(self, fault: Fault, text: str, since: float | None = None, *, option: str = "") -> None:
        super().__init__(text)
        self.fault = fault
        self.since = since
        self.option = option

    @property
    def refused(self) -> bool:
        """Whether to try again soon is in vain, and may lock an account: somebody has to change something first."""
        return self.fault in ("auth", "permission", "tunnel")
