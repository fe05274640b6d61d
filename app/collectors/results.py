"""What a result backend in Redis knows of tasks whose end was not heard: asked by known ids, and never searched.

Results are JSON, read like everything else from a broker: nothing in them is ever unpickled, and what is large is left
where it is.
"""

import json
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import redis

from app.collectors.checks import MAX_TRACEBACK, MAX_WORD
from app.collectors.clean import clean_text, clean_word
from app.collectors.errors import BrokerError
from app.collectors.guard import RESULTS
from app.collectors.pollers import Trouble
from app.collectors.redis_client import redis_client
from app.collectors.redis_errors import broker_error
from app.collectors.transport import PORT, RedisAddress, redis_address
from app.models.lifecycle import epoch
from app.models.options import REDIS_SCHEMES
from app.models.profiles import BACKEND
from app.models.records import Event
from app.models.redact import split_password
from app.models.wire import Configure, Examine

#: Ids asked for at a time, and bytes of one result that are read at most.
BATCH: Final = 500
MAX_RESULT: Final = 64 << 10
_PREFIX: Final = "celery-task-meta-"
_ENDS: Final = {"SUCCESS": "task-succeeded", "FAILURE": "task-failed", "REVOKED": "task-revoked"}


class Ends(msgspec.Struct):
    """Ends that were found, as events that nobody heard; a host name is empty where the backend does not tell it."""

    events: list[Event]


class Stored(msgspec.Struct):
    """What is stored of a task with ``result_extended``: what it is called with, as it was when it was stored."""

    status: str
    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    queue: str | None = None


class _Meta(msgspec.Struct):
    """A stored result, as Celery writes it (`celery.backends.base.Backend._get_result_meta`)."""

    status: str
    result: Any = None
    traceback: str | None = None
    date_done: str | None = None
    worker: str | None = None


def results_address(asked: Configure | Examine) -> RedisAddress | None:
    """Where results are kept, if a connection's options say so.

    Raises `BrokerError` (fault ``address``) for a backend that can't be asked.
    """
    url = asked.options.get(BACKEND)
    if not url:
        return None
    if url.partition("://")[0] not in REDIS_SCHEMES:
        # Without a word of the address: what is no address may be a password.
        text = "The result backend can be a Redis only in this version: redis:// or rediss://."
        raise BrokerError("address", text, option=BACKEND)
    password = asked.backend_password
    try:
        if password is None and split_password(url)[1] is None and _is_at(url) == _is_at(asked.url):
            password = asked.password  # it is the broker itself
        return redis_address(url, password)
    except BrokerError as error:
        text = f"The address of the result backend can't be used. {error}"
        raise BrokerError(error.fault, text, option=BACKEND) from error


def _is_at(url: str) -> tuple[object, ...]:
    """Which server an address leads to, and who asks there."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.username or None, parts.hostname, parts.port or PORT, parts.query
    except ValueError:  # which is said where it is used
        return (url,)


def reach(address: RedisAddress) -> None:
    """Connect, sign in, and leave. Raises `BrokerError`."""
    client = redis_client(address, "cloche-results", RESULTS)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        raise broker_error(error, address) from error
    finally:
        client.close()


def stored(address: RedisAddress, uuids: Sequence[str]) -> dict[str, Stored]:
    """What a backend knows of how tasks were called, by their ids. Raises `BrokerError`."""
    client = redis_client(address, "cloche-results", RESULTS)
    try:
        found: dict[str, Stored] = {}
        for at in range(0, len(uuids), BATCH):
            for uuid, value in _values(client, uuids[at : at + BATCH]):
                try:
                    found[uuid] = msgspec.convert(json.loads(value), Stored)
                except (msgspec.ValidationError, UnicodeError, ValueError, RecursionError):
                    continue  # of an application without `result_extended`, or in another form than JSON
        return found
    except (redis.RedisError, OSError) as error:
        raise _sentence(broker_error(error, address)) from error
    finally:
        client.close()


def _values(client: redis.Redis, uuids: Sequence[str]) -> list[tuple[str, bytes | str]]:
    """Stored results that are small enough to be read, by id. Raises ``RedisError``."""
    keys = [_PREFIX + uuid for uuid in uuids]
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.strlen(key)
    sizes = pipeline.execute(raise_on_error=False)
    for size in sizes:
        # A key of that name that holds something else is no result.
        if isinstance(size, redis.RedisError) and not str(size).startswith("WRONGTYPE"):
            raise size
    small = [
        (uuid, key)
        for uuid, key, size in zip(uuids, keys, sizes, strict=True)
        if isinstance(size, int) and 0 < size <= MAX_RESULT
    ]
    if not small:
        return []
    values = client.mget([key for _, key in small])
    return [(uuid, value) for (uuid, _), value in zip(small, values, strict=True) if value is not None]


class Results(threading.Thread):
    """Asks for results when told of which tasks."""

    def __init__(
        self, address: RedisAddress, put: Callable[[Ends | Trouble], None], *, on_command: Callable[[int], None]
    ) -> None:
        super().__init__(name="results", daemon=True)
        self._address = address
        self._client = redis_client(address, "cloche-results", RESULTS)
        self._put = put
        self._on_command = on_command
        self._asked: queue.SimpleQueue[tuple[Sequence[str], float] | None] = queue.SimpleQueue()

    def ask(self, uuids: Sequence[str], now: float) -> None:
        """Look for the results of these tasks soon; one without a time of its own is dated now."""
        self._asked.put((uuids, now))

    def stop(self) -> None:
        """End the thread."""
        self._asked.put(None)

    def run(self) -> None:
        """Ask until stopped."""
        while (asked := self._asked.get()) is not None:
            uuids, now = asked
            try:
                for at in range(0, len(uuids), BATCH):
                    self._put(Ends(self._find(uuids[at : at + BATCH], now)))
            except BrokerError as error:
                self._put(Trouble("results", _sentence(error)))
            except (redis.RedisError, OSError) as error:
                self._put(Trouble("results", _sentence(broker_error(error, self._address))))
            else:
                self._put(Trouble("results", None))
        self._client.close()

    def _find(self, uuids: Sequence[str], now: float) -> list[Event]:
        self._on_command(2)
        found = (end_of(uuid, value, now) for uuid, value in _values(self._client, uuids))
        return [event for event in found if event is not None]


def _sentence(error: BrokerError) -> BrokerError:
    return BrokerError(error.fault, f"The result backend can't be asked how tasks ended. {error}", error.since)


def end_of(uuid: str, value: bytes | str | None, now: float) -> Event | None:
    """The event that a task's stored result stands for; None where it tells no end, or can't be read."""
    if value is None:
        return None
    try:
        try:
            meta = msgspec.json.decode(value, type=_Meta)
        except msgspec.DecodeError:
            # Celery writes NaN and Infinity, which are no JSON.
            meta = msgspec.convert(json.loads(value), _Meta)
        return _end(uuid, meta, now)
    except (msgspec.ValidationError, UnicodeError, ValueError, RecursionError):
        return None


def _end(uuid: str, meta: _Meta, now: float) -> Event | None:
    kind = _ENDS.get(meta.status)
    if kind is None:
        return None
    event = Event(kind, clean_word((meta.worker or "")[:MAX_WORD]), epoch(meta.date_done) or now, uuid, seen=now)
    if kind == "task-succeeded":
        event.result = clean_text(repr(meta.result))
        return event
    event.exception = clean_text(_exception(meta.result))
    event.traceback = None if meta.traceback is None else clean_text(meta.traceback, MAX_TRACEBACK)
    if kind == "task-revoked":
        # `Request._announce_revoked` (celery.worker.request) gives the reason as the exception's message.
        event.expired, event.terminated = "'expired'" in event.exception, "'terminated'" in event.exception
    return event


def _exception(result: object) -> str:
    """An exception as events show it: ``ValueError('no such order')``."""
    if not isinstance(result, Mapping):
        return repr(result)
    message = result.get("exc_message")
    told = ", ".join(map(repr, message)) if isinstance(message, list) else repr(message)
    return f"{result.get('exc_type')}({told})"
