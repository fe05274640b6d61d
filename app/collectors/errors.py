"""What can be wrong with a broker: a state with a name, and a sentence with what to do."""

from typing import Final, Literal

Fault = Literal[
    "address", "name", "network", "slow", "auth", "permission", "full", "loading", "script", "replica", "moved",
    "memory", "disk", "cluster", "asleep", "clock", "protocol", "busy", "blocked",
]  # fmt: skip

#: What a connection with a fault is, in two or three words.
NAMES: Final[dict[Fault, str]] = {
    "address": "wrong address",
    "name": "name not found",
    "network": "not reached",
    "slow": "slow",
    "auth": "sign-in refused",
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
    "blocked": "blocks publishers",
}


class BrokerError(Exception):
    """A broker can't be used as asked; ``fault`` tells the kind, the text is a sentence with what to do.

    ``since`` is when that began, where it is known to have been before it was noticed.
    """

    def __init__(self, fault: Fault, text: str, since: float | None = None) -> None:
        super().__init__(text)
        self.fault = fault
        self.since = since
