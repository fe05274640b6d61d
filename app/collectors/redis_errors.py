"""What Redis and the way to it answer instead of an answer, in words: each state has its own name and remedy."""

from typing import Final

import redis
from redis import exceptions

from app.collectors.errors import BrokerError, Fault
from app.collectors.transport import RedisAddress, network_error

#: First word of an error of Redis, and the state it tells of.
_STATES: Final[dict[str, Fault]] = {
    "NOAUTH": "auth",
    "WRONGPASS": "auth",
    "LOADING": "loading",
    "BUSY": "script",
    "READONLY": "replica",
    "MASTERDOWN": "replica",
    "NOREPLICAS": "replica",
    "OOM": "memory",
    "MISCONF": "disk",
    "CLUSTERDOWN": "cluster",
    "MOVED": "cluster",
}
#: What to say of it: what is the matter, and what to do.
_WORDS: Final[dict[str, str]] = {
    "NOAUTH": "wants a sign-in. Enter its user and password.",
    "WRONGPASS": "refused the sign-in. Check user and password.",
    "LOADING": "is loading its data into memory. It answers when that is done: just wait.",
    "BUSY": "is blocked by a script that does not end, and so are workers. End it with SCRIPT KILL.",
    "READONLY": "is a replica and takes no writes. Connect to its master.",
    "MASTERDOWN": "is a replica that lost its master. Check the link between them, or connect to the master.",
    "NOREPLICAS": "has too few replicas and takes no writes, tasks included. Bring its replicas back.",
    "OOM": "is out of memory and takes no writes, tasks included. Free memory, or raise maxmemory.",
    "MISCONF": "can't save to its disk and takes no writes, tasks included. Its log says why; often the disk is full.",
    "CLUSTERDOWN": "belongs to a Redis Cluster of which a part is missing. Bring its nodes back.",
    "MOVED": "is one node of a Redis Cluster, and what is asked for is on another. Cloche watches single servers.",
}
#: redis-py takes the first word away where it has a class for it.
_CLASSES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.MasterDownError, "MASTERDOWN"),
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.ClusterDownError, "CLUSTERDOWN"),
    (exceptions.MovedError, "MOVED"),
    (exceptions.NoPermissionError, "NOPERM"),
)
_FULL: Final = "max number of clients reached"


def broker_error(error: Exception, address: RedisAddress) -> BrokerError:
    """What a failure of Redis or the network means, in words."""
    text, where = str(error), address.shown
    word = next((word for kind, word in _CLASSES if isinstance(error, kind)), text.split(" ", 1)[0])
    if isinstance(error, redis.AuthenticationError) and word not in _STATES:
        word = "NOAUTH" if "required" in text else "WRONGPASS"
    if word in _STATES:
        return BrokerError(_STATES[word], f"The broker {where} {_WORDS[word]} (It said {word}.)")
    if word == "NOPERM":
        return BrokerError("permission", f"The broker {where} does not permit it: {text.removeprefix('NOPERM ')}.")
    if _FULL in text:
        remedy = "It is tried again; close connections of others, or raise maxclients."
        return BrokerError("full", f"The broker {where} has no connection left (maxclients). {remedy}")
    if isinstance(error, exceptions.TimeoutError):
        error = TimeoutError()
    elif isinstance(error, exceptions.ConnectionError):
        causes = (error.__cause__, error.__context__)
        error = next((each for each in causes if isinstance(each, OSError)), OSError(text))
    if isinstance(error, OSError):
        return network_error(error, address.host, where)
    return BrokerError("protocol", f"The broker {where} answered what was not expected: {text}.")
