"""Publishes tasks to Redis as kombu does, each of them once, however often an act is taken up again.

The message is pushed and its id written down by one script, which Redis carries out whole or not at all. What is
written down is one hash for the act, which goes when the act ends, or else by itself after a day.
"""

import re
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import redis

from app.collectors.access import Grant
from app.collectors.clean import clean_word
from app.collectors.envelope import TaskMessage, for_redis
from app.collectors.errors import BrokerError
from app.collectors.guard import Guard
from app.collectors.publisher import SENT, Route, Sent, Unroutable, no_queue, unroutable
from app.collectors.redis_client import redis_client, text_of
from app.collectors.redis_errors import broker_error
from app.collectors.redis_lists import BINDINGS, may_be_queue
from app.collectors.transport import RedisAddress

#: Pushes a message onto a list, and writes its id down with the list's name, unless that was done before.
PUSH: Final = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], 1)
redis.call('EXPIRE', KEYS[1], 86400)
return 1
"""
#: Bindings of an exchange that are looked at together, and how often.
_PAGE: Final = 500
_PAGES: Final = 20
#: Wildcards of one binding: more of them could take for ever to be compared.
_WILDCARDS: Final = 5


def _publishing(address: RedisAddress, marker: str, grant: Grant) -> Guard:
    """Lets the script through for an act's own hash and lists that are queues, while the act has its grant."""
    bindings = address.key(BINDINGS)

    def is_push(words: Sequence[str]) -> bool:
        script, number, hash_, list_, *_ = words
        is_queue = may_be_queue(address, list_.removeprefix(address.prefix))
        return (script, number, hash_) == (PUSH, "2", marker) and is_queue

    def is_ours(words: Sequence[str]) -> bool:
        return words[0] == marker

    def is_binding(words: Sequence[str]) -> bool:
        return words[0].startswith(bindings)

    return Guard(bounded={"EVAL": (7, grant.over(is_push)), "DEL": (2, grant.over(is_ours)), "SSCAN": (5, is_binding)})


class RedisPublisher:
    """Publishes the messages of one act to lists of Redis."""

    def __init__(self, address: RedisAddress, act: str, grant: Grant, *, on_command: Callable[[int], None]) -> None:
        self._address = address
        self._marker = address.key(f"{SENT}{act}")
        self._client = redis_client(address, "cloche-acts", _publishing(address, self._marker, grant))
        self._on_command = on_command
        self._queues: dict[Route, list[str]] = {}

    def publish(self, message: TaskMessage, route: Route) -> Sent:
        payload = for_redis(message, route.exchange, route.routing_key)
        try:
            keys = [list_for(self._address, queue, message.priority) for queue in self._queues_of(route)]
            # Each of several queues by itself: what is missing after a crash is made good.
            pushed = [self._push(key, message.id, payload) for key in keys]
        except redis.ResponseError as error:
            if "WRONGTYPE" in str(error):
                raise Unroutable(f"What {route} leads to in Redis is no queue.") from error
            raise broker_error(error, self._address) from error
        except (redis.RedisError, OSError) as error:
            raise broker_error(error, self._address) from error
        return "sent" if any(pushed) else "before"

    def settle(self) -> None:
        try:
            self._on_command(1)
            self._client.delete(self._marker)
        except (redis.RedisError, OSError) as error:
            raise broker_error(error, self._address) from error

    def close(self) -> None:
        self._client.close()

    def _push(self, key: str, id_: str, payload: bytes) -> bool:
        self._on_command(1)
        return bool(self._client.eval(PUSH, 2, self._marker, key, f"{id_} {key}", payload))

    def _queues_of(self, route: Route) -> list[str]:
        if not route.exchange:
            if not route.routing_key:
                raise unroutable(route)
            queues = [route.routing_key]
        else:
            if route not in self._queues:
                self._queues[route] = sorted(set(self._bound(route)))
            queues = self._queues[route]
        if not queues:
            raise unroutable(route)
        for queue in queues:
            if not may_be_queue(self._address, queue):
                raise no_queue(queue)
        return queues

    def _bound(self, route: Route) -> Iterator[str]:
        """Queues that kombu would put such a message into, by the bindings that it keeps."""
        for member in self._bindings(route.exchange):
            key, pattern, queue = [*member.split(self._address.separator), "", ""][:3]
            if not key and not pattern:
                raise Unroutable(
                    f"It went to {route}, which seems to send to all who listen (fanout): such messages are "
                    "kept in no queue. Choose one."
                )
            if queue and (_matches(key, route.routing_key) if pattern else key == route.routing_key):
                yield queue

    def _bindings(self, exchange: str) -> Iterator[str]:
        cursor = 0
        for _ in range(_PAGES):
            self._on_command(1)
            cursor, members = self._client.sscan(self._address.key(f"{BINDINGS}{exchange}"), cursor, count=_PAGE)
            for member in members:
                yield text_of(member)
            if not cursor:
                return
        raise BrokerError("busy", f"The exchange {clean_word(exchange)} has too many bindings to be looked through.")


def list_for(address: RedisAddress, queue: str, priority: int | None) -> str:
    """The list for a priority: that of the highest step that is not above it (``kombu.transport.redis``)."""
    return address.priority_keys(queue)[max(0, bisect(address.steps, min(max(priority or 0, 0), 9)) - 1)]


def _matches(wildcards: str, routing_key: str) -> bool:
    """Whether a routing key fits a binding of a topic exchange, as kombu has it (``kombu.transport.virtual``)."""
    if wildcards.count("#") + wildcards.count("*") > _WILDCARDS:
        raise Unroutable(f"The binding {clean_word(wildcards[:100])} has too many wildcards. Choose a queue.")
    words = {"*": r"[^\.]+", "#": r".*?"}
    pattern = r"\.".join(words.get(word, re.escape(word)) for word in wildcards.split("."))
    return re.fullmatch(pattern, routing_key) is not None
